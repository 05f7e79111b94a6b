"""What was read so far of the logs in one folder, and the run that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from google.protobuf.message import DecodeError

from tb_layerview.format.messages import read_model
from tb_layerview.format.model import Model
from tb_layerview.format.names import TAG
from tb_layerview.format.places import Place
from tb_layerview.reading import shard
from tb_layerview.reading.merge import WriterLog, first_problems, merge
from tb_layerview.reading.run import Run
from tb_layerview.reading.shard import Shard
from tb_layerview.reading.step_record import Message


class FolderLog:
    """Turns messages into a run, and again when there are more of them; what is known already is not read again.

    Attributes:
      payload_folder: Where the payload files lie, or None.
      waiting: Tags whose messages could not be read yet because their writer has not said what it logs.
      run: The run as it was made at last, or None as long as no writer has said what it logs.
      problems: What cannot be read, in sentences; none where the writers only have not said yet what they log.
    """

    def __init__(self, name: str, *, folder: Place | None, payload_folder: Place | None) -> None:
        """Begins with nothing.

        Args:
          name: The run's name.
          folder: The run's folder, or None if it is not on this machine.
          payload_folder: Where the payload files lie, or None.
        """
        self.waiting: frozenset[str] = frozenset()
        self.problems: tuple[str, ...] = ()
        self._name = name
        self._folder = folder
        self.payload_folder = payload_folder
        self._models: dict[str, bytes] = {}
        self._shards: dict[str, dict[int, Shard]] = {}
        self.run: Run | None = None

    def update(
        self, messages: Mapping[str, Sequence[Message]], tags: Collection[str], problems: Sequence[str] = ()
    ) -> Run | None:
        """Reads messages.

        Args:
          messages: By tag all messages of it, for at least those tags that have new ones and those that are waiting.
            Each is asked for at most once, models first.
          tags: All tags that there are; what was read of others before is forgotten.
          problems: What could not be read, in sentences; there may be more of them once `messages` are read.

        Returns:
          The run, or None as long as no writer has said what it logs.
        """
        found = [f"the tag {tag!r} does not belong to a layer log" for tag in tags if not TAG.fullmatch(tag)]
        parts = {tag: (match[1], match[2]) for tag in tags if (match := TAG.fullmatch(tag))}
        numbers: dict[str, dict[int, str]] = {writer: {} for writer, _ in parts.values()}
        for tag, (writer, part) in parts.items():
            if part != "model":
                numbers[writer][int(part)] = tag
        self._models = {writer: self._models[writer] for writer, _ in parts.values() if writer in self._models}
        for tag, (writer, part) in parts.items():
            if part == "model" and (logged := messages.get(tag)):
                self._models[writer] = logged[-1].data
        self.waiting = frozenset(tag for tag, (writer, _) in parts.items() if writer not in self._models)
        logs = []
        shards: dict[str, dict[int, Shard]] = {}
        room = shard.ROOM
        for writer, tags_of in numbers.items():
            model = self._model(writer, found)
            if model is None:
                continue
            known = self._shards.get(writer, {})
            own = shards.setdefault(writer, {})
            for number, tag in sorted(tags_of.items()):
                own[number] = (
                    shard.read(messages.get(tag, ()), len(model.tensors), known.get(number), room)
                    if tag in messages or number not in known
                    else known[number]
                )
                room -= own[number].room
            logs.append(WriterLog(writer, model, tuple(own.values())))
        self._shards = shards
        found = [*problems, *found]
        # A writer that has begun says what it logs a moment later: that alone is no problem.
        unsaid = sum(writer not in self._models for writer in numbers)
        self.problems = first_problems(found) if len(found) > unsaid else ()
        self.run = (
            merge(
                self._name,
                logs,
                folder=self._folder,
                payload_folder=self.payload_folder,
                problems=found,
                before=self.run,
            )
            if logs
            else None
        )
        return self.run

    def _model(self, writer: str, problems: list[str]) -> Model | None:
        """What a writer says that it logs; if that cannot be read, None and a sentence in `problems`."""
        if writer not in self._models:
            problems.append(f"writer {writer} has not said what it logs, so its steps are left out")
            return None
        try:
            return read_model(self._models[writer])
        except (DecodeError, ValueError) as error:
            problems.append(f"what writer {writer} logged is left out: {error}")
            return None


def why_unreadable(name: str, problems: Sequence[str]) -> str:
    """A sentence about a run that `FolderLog` cannot make, and the problems that it has."""
    return f"the run {name!r} cannot be read: {'; '.join(problems).rstrip('.') or 'it has not said yet what it logs'}."
