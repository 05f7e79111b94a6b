"""What JAX computes, whatever the models are; and modules of Flax NNX, in `nnx`."""
