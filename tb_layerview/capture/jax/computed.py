"""What is the same of whatever JAX computes, behind the seam: Keras' models and modules of Flax NNX."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax

from tb_layerview.about import logger
from tb_layerview.capture.host.backend import OnHost


class Computed(OnHost):
    """The methods are those of `probe.Backend`, and some that both kinds of loops want."""

    def is_checking(self) -> bool:
        """Whether JAX is told to raise an error where a value is not finite."""
        config: Any = jax.config
        return bool(config.jax_debug_nans or config.jax_debug_infs)

    @contextlib.contextmanager
    def _unchecked(self) -> Iterator[None]:
        with jax.debug_nans(False), jax.debug_infs(False):
            yield

    def unchecked(self) -> AbstractContextManager[None]:
        """Has it raise none."""
        return self._unchecked()

    def logs(self, model: Any) -> bool:
        """Whether this process logs a model: the first of several does, and each of them is told."""
        if not self.has_other_processes(model):
            return True
        if jax.process_index():
            logger.info("tb_layerview: the first of %s processes logs, this is another one.", jax.process_count())
        return bool(jax.process_index() == 0)

    def has_other_processes(self, model: Any) -> bool:
        """Whether other processes train the model together with this one."""
        return bool(jax.process_count() > 1)
