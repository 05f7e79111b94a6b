"""Statistics over steps to findings, causes first: for a run that is being written and for one that was read alike."""
