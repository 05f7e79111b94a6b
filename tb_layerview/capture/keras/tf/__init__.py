"""What of Keras is TensorFlow's: a pass of the model on a probe that the training does not notice, and its needs."""
