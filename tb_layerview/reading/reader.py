"""Reading logs back into numpy."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tb_layerview.format.addresses import checked
from tb_layerview.format.logged import NotLoggedError, nearest
from tb_layerview.format.names import FOLDER
from tb_layerview.format.places import Place, below, place_of
from tb_layerview.format.storage import store_of
from tb_layerview.reading import event_file
from tb_layerview.reading.folder_log import FolderLog, why_unreadable
from tb_layerview.reading.run import Run


class LayerReader:
    """Reads what was logged anywhere below a folder.

    ```python
    for run in LayerReader("logs").runs():
        kernel = run.tensor("conv1", kind="weight", name="kernel")
        print(run.name, run.steps, run.statistics("rms")[kernel])
        print(run.values(kernel, step=120).array)
    ```

    A run is read as it is at that moment, also while it is still being written. No TensorFlow is needed.
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        """Names the folder to read.

        Args:
          logdir: A folder that holds runs, or a run's own; of this machine, or in a store, as `s3://bucket/logs`.

        Raises:
          NotADirectoryError: There is no such folder, or the store does not let it be read.
        """
        try:
            self._logdir = place_of(checked(logdir))
        except ValueError as error:
            raise NotADirectoryError(str(error)) from None
        try:
            self._store = store_of(self._logdir)
            is_there = self._store.is_folder(self._logdir)
        except OSError as error:
            raise NotADirectoryError(f"{os.fspath(logdir)!r} cannot be read: {error.strerror or error}.") from None
        if not is_there:
            raise NotADirectoryError(
                f"{os.fspath(logdir)!r} is not a folder. Give the folder that the callback, the hook or the writer "
                "was given, or one above it."
            )

    def names(self) -> list[str]:
        """The names of the runs, in order: their folder below `logdir`, `.` for `logdir` itself."""
        return sorted(self._folders())

    def runs(self) -> Iterator[Run]:
        """Reads one run after the other, in the order of their names.

        One of which nothing can be read is left out; `run` says why.
        """
        for name, folder in sorted(self._folders().items()):
            log = _read(name, folder)
            if log.run is not None:
                yield log.run

    def run(self, name: str = ".") -> Run:
        """Reads one run.

        Raises:
          NotLoggedError: There is no run of that name, or nothing of it can be read; the sentence says why.
        """
        folders = self._folders()
        if name not in folders:
            raise NotLoggedError(f"{self._logdir} holds no run {name!r}; {nearest(name, sorted(folders))}.")
        log = _read(name, folders[name])
        if log.run is None:
            raise NotLoggedError(why_unreadable(name, log.problems))
        return log.run

    def _folders(self) -> dict[str, Place]:
        """The folders `layers` that hold event files, by the name of their run."""
        found: dict[str, Place] = {}
        for path, files in self._store.walk(self._logdir):
            if path.name == FOLDER and any(event_file.is_event_file(file) for file in files):
                # Given the folder `layers` itself, its run still is what lies there.
                within = path == self._logdir
                found["." if within else below(self._logdir, path.parent)] = path
        return found


def _read(name: str, folder: Place) -> FolderLog:
    """Reads the event files that lie in `folder`."""
    messages, problems = event_file.read_folder(folder)
    log = FolderLog(name, folder=folder.parent, payload_folder=folder)
    log.update(messages, messages.keys(), problems)
    return log
