"""Keras on JAX: where JAX is not installed, or Keras is another framework's by now, nothing here is collected."""

from __future__ import annotations

import importlib.util
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
_IS_ANOTHERS = "keras" in sys.modules and sys.modules["keras"].config.backend() != "jax"
if importlib.util.find_spec("jax") is None or os.environ["KERAS_BACKEND"] != "jax" or _IS_ANOTHERS:
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, os.path.dirname(__file__))
