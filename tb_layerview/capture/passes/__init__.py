"""One pass of a model: its calls, what they are made of, and what of it is logged, whatever framework runs it."""
