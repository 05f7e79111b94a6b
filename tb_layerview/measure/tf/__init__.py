"""Measurements as TensorFlow operations, so that kilobytes leave the device and not tensors."""
