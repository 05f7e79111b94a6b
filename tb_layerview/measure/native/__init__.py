"""The digest in plain C: `library` finds it, and gives it arrays as they lie in memory."""
