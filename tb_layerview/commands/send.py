"""`tb-layerview send`: sends what stores did not take while something was logged there."""

from __future__ import annotations

import collections
import sys

from tb_layerview.format.remote_storage import store_of
from tb_layerview.writing.spool import left_behind, still_kept


def send() -> int:
    """Sends all that is kept on this machine and that no process is about to send; prints where it went.

    Returns:
      1 if a store still does not take it, else 0.
    """
    sent = collections.Counter[str]()
    try:
        for place in left_behind(lambda place, data: store_of(place).put(place, data)):
            if place is not None:
                sent[str(place.parent)] += 1
    except OSError as error:
        print(f"tb-layerview send: {error.strerror or error}: {error.filename}. It is kept.", file=sys.stderr)
        return 1
    finally:
        for folder, count in sent.items():
            print(f"{count:,} objects sent to {folder}")
    kept = still_kept()
    if kept:
        print(f"{kept:,} objects are kept by processes that still run, and send them")
    elif not sent:
        print("nothing is left to be sent")
    return 0
