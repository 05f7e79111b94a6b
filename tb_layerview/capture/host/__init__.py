"""Keras models whose tensors are handed over to the host: what the backends other than TensorFlow share."""
