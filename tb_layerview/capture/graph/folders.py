"""Where a hook logs: an evaluation or a prediction beside a training, not in its place."""

from __future__ import annotations

from tb_layerview.format import names
from tb_layerview.format.model import Mode
from tb_layerview.format.places import place_of, within
from tb_layerview.format.storage import store_of
from tb_layerview.writing.earlier import first_modes


def folder_for(logdir: str, mode: Mode, has_trained: bool) -> str:
    """The run's folder.

    Args:
      logdir: The one that a hook was given.
      mode: What the model is doing.
      has_trained: Whether this hook has logged a training.
    """
    if mode == "train" or not (has_trained or _is_trainings(logdir)):
        return logdir
    return within(logdir, mode)


def _is_trainings(logdir: str) -> bool:
    """Whether a training has saved or logged into a folder."""
    place = place_of(logdir)
    if store_of(place).exists(place / "checkpoint"):
        return True
    return "train" in first_modes(place / names.FOLDER)
