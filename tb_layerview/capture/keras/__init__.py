"""Models of Keras: the callback, the recorder for a loop of one's own, and what both share whatever runs the model."""
