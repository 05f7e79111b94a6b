"""What this package is: its version, its logger, and the line that a log holds of the software that wrote it.

It imports nothing of the package, and every module may import it.
"""

from __future__ import annotations

import logging

#: The version, said here and nowhere else.
__version__ = "0.1.0"

#: What all messages of the package go to.
logger = logging.getLogger("tb_layerview")


def software(**versions: str) -> str:
    """The software that writes a log: `tb_layerview 0.1.0, Keras 3.15.1, TensorFlow 2.21.0`.

    Args:
      versions: Of what it stands on, by the name to be shown, as `Keras="3.15.1"`.
    """
    return ", ".join([f"tb_layerview {__version__}", *(f"{name} {version}" for name, version in versions.items())])
