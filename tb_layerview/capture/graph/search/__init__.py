"""Finds the layers of a TensorFlow graph, and what can be looked at of them, without a word from whoever built it."""
