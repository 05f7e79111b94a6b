"""Finds the layers of a TensorFlow graph and what can be logged of them, with no help from the code that built it."""
