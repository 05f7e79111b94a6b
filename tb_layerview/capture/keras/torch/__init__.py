"""Keras models that PyTorch computes: everything here imports torch, and nothing of TensorFlow."""
