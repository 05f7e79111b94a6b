"""What reads at a place, wherever that is."""

from __future__ import annotations

from pathlib import Path

from tb_layerview.format.local_storage import LocalStore
from tb_layerview.format.places import Place, Store

_LOCAL = LocalStore()


def store_of(place: Place) -> Store:
    """What reads at a place.

    Raises:
      OSError: Nothing that is installed does.
    """
    if isinstance(place, Path):
        return _LOCAL
    from tb_layerview.format import remote_storage  # which is needed for nothing else

    return remote_storage.store_of(place)
