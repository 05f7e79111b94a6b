"""Keras 3 models that JAX computes."""
