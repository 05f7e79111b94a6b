"""Files to a `Run`: what was logged into a folder, whatever it was damaged by, as one history."""
