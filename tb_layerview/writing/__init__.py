"""One training's log: when, how much, at what cost, and never at the training's expense."""
