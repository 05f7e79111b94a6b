"""TensorFlow graphs that run in sessions: the hook of Estimators and monitored sessions."""
