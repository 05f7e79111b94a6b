"""What models are trained on: random images."""

from __future__ import annotations

import numpy as np

_RNG = np.random.default_rng(0)
BATCH = 64
IMAGES = _RNG.normal(size=(640, 28, 28, 1)).astype(np.float32)
LABELS = _RNG.integers(0, 10, 640)
RESNET_IMAGES = _RNG.normal(size=(32, 96, 96, 3)).astype(np.float32)
RESNET_LABELS = _RNG.integers(0, 10, 32)
