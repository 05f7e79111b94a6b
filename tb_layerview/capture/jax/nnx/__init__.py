"""Modules of Flax NNX, in a loop of one's own."""
