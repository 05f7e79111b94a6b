"""Setuptools' build backend, which also asks for what is lacking: Node for the front end, a compiler for the digest."""

from __future__ import annotations

from collections.abc import Mapping

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

import build_frontend
import build_native

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

Settings = Mapping[str, str | list[str] | None] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """PEP 517: what making a wheel needs beside `build-system.requires`."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _node() + _compiler()


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """PEP 660: what an editable install needs beside `build-system.requires`."""
    return build_meta.get_requires_for_build_editable(config_settings) + _node() + _compiler()


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """PEP 517: what making a source distribution needs beside `build-system.requires`."""
    return build_meta.get_requires_for_build_sdist(config_settings) + _node()


def _node() -> list[str]:
    return [] if build_frontend.is_current() else build_frontend.node_requirements()


def _compiler() -> list[str]:
    return [] if build_native.is_current() else build_native.compiler_requirements()
