"""What is made of this folder holds the built front end and the compiled digest; pyproject.toml says the rest."""

from __future__ import annotations

import logging
import platform
import shutil
from pathlib import Path

import setuptools
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.sdist import sdist

import build_frontend
import build_native


def compile_digest() -> None:
    """Compiles the native digest; without it all works, slower, so that its failure is told, and is no failure."""
    try:
        build_native.build()
    except build_native.BuildError as error:
        logging.getLogger(__name__).warning("%s", error)


class BuildPy(build_py):
    """Collects the package for a wheel."""

    def run(self) -> None:
        build_frontend.build()
        compile_digest()
        # Files that are named by their content, or no longer made, would stay here from an earlier build.
        for names in ("serving/static", "measure/native"):
            earlier = Path(self.build_lib, "tb_layerview", names)
            if earlier.is_dir():
                shutil.rmtree(earlier)
        super().run()


class EditableWheel(editable_wheel):
    """Makes an editable install. It runs `build_py` too, but turns a failure of that into a warning."""

    def run(self) -> None:
        build_frontend.build()
        compile_digest()
        super().run()


class BdistWheel(bdist_wheel):
    """Makes a wheel, for any Python of the platform that the compiled digest runs on; for all where there is none."""

    def finalize_options(self) -> None:
        compile_digest()  # what is to be known of the platform hangs on it
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        tag = super().get_tag()
        # The library is for one kind of processor, also where Python is for two.
        return tag if self.root_is_pure else ("py3", "none", tag[2].replace("universal2", platform.machine()))


class Distribution(setuptools.Distribution):
    """Belongs where what is compiled belongs, if the digest is; setuptools knows only of modules of Python's."""

    def has_ext_modules(self) -> bool:
        return build_native.LIBRARY.is_file()


class Sdist(sdist):
    """Makes a source distribution, without `build_py`."""

    def run(self) -> None:
        build_frontend.build()
        super().run()


setuptools.setup(
    distclass=Distribution,
    cmdclass={
        "bdist_wheel": BdistWheel,
        "build_py": BuildPy,
        "editable_wheel": EditableWheel,
        "sdist": Sdist,
    },
)
