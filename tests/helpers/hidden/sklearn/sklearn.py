"""Found before scikit-learn by a process that needs none of it: see `places.environment`."""

raise ModuleNotFoundError("scikit-learn is hidden from this process, see tests/helpers/places.py")
