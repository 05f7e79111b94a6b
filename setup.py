"""Whatever is made of this folder holds the built front end; pyproject.toml says the rest."""

from __future__ import annotations

import setuptools
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.sdist import sdist

import build_frontend


def with_frontend(command: type[setuptools.Command]) -> type[setuptools.Command]:
    """Returns `command`, which now builds the front end before it runs."""

    def run(self: setuptools.Command) -> None:
        build_frontend.build()
        command.run(self)

    return type(command.__name__, (command,), {"run": run})


# `build_py` alone would not do: an sdist is made without it, and an editable install turns its
# failure into a warning.
setuptools.setup(
    cmdclass={
        "build_py": with_frontend(build_py),
        "editable_wheel": with_frontend(editable_wheel),
        "sdist": with_frontend(sdist),
    }
)
