"""Whatever is made of this folder holds the built front end; pyproject.toml says the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import setuptools
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.sdist import sdist

import build_frontend


class BuildPy(build_py):
    """Collects the package for a wheel."""

    def run(self) -> None:
        build_frontend.build()
        # Files that are named by their content would stay here from an earlier build, and be packed.
        earlier = Path(self.build_lib, "tb_layerview", "serving", "static")
        if earlier.is_dir():
            shutil.rmtree(earlier)
        super().run()


class EditableWheel(editable_wheel):
    """Makes an editable install. It runs `build_py` too, but turns a failure of that into a warning."""

    def run(self) -> None:
        build_frontend.build()
        super().run()


class Sdist(sdist):
    """Makes a source distribution, without `build_py`."""

    def run(self) -> None:
        build_frontend.build()
        super().run()


setuptools.setup(cmdclass={"build_py": BuildPy, "editable_wheel": EditableWheel, "sdist": Sdist})
