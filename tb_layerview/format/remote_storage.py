"""Stores of objects, through fsspec and the package that it has for each: `s3fs`, `gcsfs`, `adlfs`.

Where they look for credentials, endpoints and encryption, and nowhere else, those are found. What they raise becomes an
OSError in words, in which no credential stands.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import functools
import io
import logging
import math
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from tb_layerview.format.addresses import PACKAGES, checked, is_gfiles, is_twice, scheme_of
from tb_layerview.format.gfile_storage import GFileSystem
from tb_layerview.format.places import Place, Range, Reader, RemotePath

#: Seconds that one request may take with all its retries, for reading and for writing.
READING = WRITING = 30.0
#: Seconds for which a listing is taken for what is there, unless the newest is asked for.
FRESH = 5.0
#: Folders whose listings are remembered, and the files in all of them.
_MOST_FOLDERS, _MOST_FILES = 1024, 1 << 17
#: Bytes that are read ahead of an event file; TensorBoard's events, and ours, are read from the first to the last.
_BLOCK = 8 << 20
#: Ranges that are asked for at a time, of so many bytes together; and requests that wait for an answer at a time.
_AHEAD, _MOST_AHEAD, _AT_ONCE = 64, 16 << 20, 8
#: Bytes between two ranges that are fetched with them rather than by another request, and the most of one request.
_GAP, _LARGEST = 256 << 10, 8 << 20
#: Bytes of ranges that are kept, as what was written is never changed.
_KEPT = 32 << 20
#: Seconds for which a store that gave no answer is not asked again: else each run and each part would wait for it; and
#: those after which an error is taken for no answer, as packages try again and again.
_REST, _SLOW = 5.0, 10.0
#: How many times as long as one request the list of all that is below a folder may take, 1,000 objects by each.
_WALK = 4
#: Seconds for a question that need not be answered.
_SOON = 5.0
_LONGEST = 300
#: Schemes of which one client opens all stores.
_ALIKE = ("s3", "s3a", "gs", "gcs", "memory")
#: Schemes of what is in memory: it never waits.
_WITHIN_THE_PROCESS = ("memory", "ram")
#: Of a range that begins at an object's end or after it: S3 has no empty ranges.
_PAST_THE_END = errno.ERANGE
#: No answer, an answer that does not come through, an error of the server's own, too many requests.
_PASSING = {errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO)}
_UNREACHABLE = re.compile("Connect|HTTPClientError|ServerDisconnected|ClientPayload|ClientOSError|gaierror")
#: What a secret may be called.
_SECRETS = "signature|token|secret|key|credential|passw(?:or)?d|passphrase|sig|authorization"


def store_of(place: Place) -> RemoteStore:
    """What reads and writes at a place in a store.

    Raises:
      OSError: The package that opens it is not installed, or there is none.
    """
    try:
        path = checked(str(place))
    except ValueError as error:
        raise OSError(errno.ENOSYS, str(error).rstrip("."), str(place)) from None
    scheme = scheme_of(path) or ""
    named = _named_in(path, scheme)
    return _store(scheme, named) if named else _store(scheme)


@functools.cache
def _store(scheme: str, named: tuple[tuple[str, Any], ...] = ()) -> RemoteStore:
    return RemoteStore(scheme, dict(named))


def _named_in(path: str, scheme: str) -> tuple[tuple[str, Any], ...]:
    """What an address says of how its store is opened: the host of `hdfs://`, the account of `abfs://`."""
    if scheme in _ALIKE or is_gfiles(scheme):
        return ()
    import fsspec

    named = fsspec.get_filesystem_class(scheme)._get_kwargs_from_urls(path)
    return tuple(sorted((name, value) for name, value in named.items() if isinstance(value, (str, int))))


class RemoteStore:
    """All that one scheme leads to, or one host of it. Many threads may use it; a forked process makes its own clients.

    What is installed opens it: fsspec, with the package that it has for the scheme, or else TensorFlow if it is loaded.
    """

    def __init__(self, scheme: str, named: Mapping[str, Any] | None = None) -> None:
        """Opens nothing yet; `named` is what an address says of how it is opened."""
        self._scheme, self._named = scheme, dict(named or {})
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._filesystem: Any = None
        self._listings: collections.OrderedDict[str, tuple[float, dict[str, int]]] = collections.OrderedDict()
        self._ranges = _Ranges()
        self._silent: dict[str, tuple[float, str]] = {}  # until when a store is not asked, by its address, and why
        self._answered: dict[str, float] = {}  # when a store gave an answer last
        self._line: _Line | None = None
        self._made: set[str] = set()

    def walk(self, folder: Place) -> Iterator[tuple[Place, Collection[str]]]:
        """See `Store`: as many requests as a listing of all objects takes, 1,000 of them each in S3."""
        found: dict[str, dict[str, int]] = {}
        for name, size in self._find(folder, True).items():
            above, _, last = name.rpartition("/")
            found.setdefault(above, {})[last] = size
        for above, files in sorted(found.items()):
            path = RemotePath(f"{folder}/{above}") if above else folder
            self._remember(str(path), files)
            yield path, files

    def files(
        self,
        folder: Place,
        wanted: Callable[[str], bool] = lambda _: True,
        age: float | None = None,
        limit: float | None = None,
    ) -> dict[str, int]:
        """See `Store`."""
        found = self._files(folder, FRESH if age is None else age, limit)
        return {name: size for name, size in found.items() if wanted(name)}

    def _files(self, folder: Place, age: float, limit: float | None = None) -> dict[str, int]:
        """The files in a folder, as a listing that is no older than so many seconds has them."""
        with self._own():
            at, known = self._listings.get(str(folder), (0.0, {}))
        if at and time.monotonic() - at <= age:
            return known
        found = self._find(folder, False, limit)
        self._remember(str(folder), found)
        return found

    def _remember(self, folder: str, files: dict[str, int]) -> None:
        with self._own():
            self._listings[folder] = time.monotonic(), files
            self._listings.move_to_end(folder)
            held = sum(len(names) for _, names in self._listings.values())
            while len(self._listings) > max(1, _MOST_FOLDERS if held <= _MOST_FILES else 1):
                held -= len(self._listings.popitem(last=False)[1][1])

    def _find(self, folder: Place, with_all_below: bool, limit: float | None = None) -> dict[str, int]:
        """The files in a folder, and in those below it, by what leads to them from it.

        Raises:
          FileNotFoundError: There is none, where those below it are not asked for.
        """
        root = _plain(self._fs(), folder).rstrip("/")
        if with_all_below:
            found = self._asked("find", folder, _WALK * READING, detail=True)
            # Of a place that is both an object and a folder adlfs gives a list.
            entries = found.values() if isinstance(found, dict) else [what for what in found if isinstance(what, dict)]
        else:
            entries = self._asked("ls", folder, limit, detail=True)
        names = ((what["name"][len(root) :].removeprefix("/"), what) for what in entries)
        # Consoles put an object without bytes in the place of a folder: its name ends in a slash.
        return {
            name: int(what.get("size") or 0)
            for name, what in names
            if name and what["type"] == "file" and not name.endswith("/")
        }

    def open(self, file: Place, size: int | None = None) -> tuple[io.BufferedReader[Any], int]:
        """See `Store`."""
        if size is None:
            size = self._files(file.parent, FRESH).get(file.name)
        if size is None:
            raise FileNotFoundError(errno.ENOENT, "it is not there", str(file))
        return io.BufferedReader(_Object(self, file, size), _BLOCK), size

    def open_all(self, files: Sequence[Range]) -> Iterator[tuple[io.BufferedReader[Any], int] | OSError]:
        """See `Store`. Several are asked for at a time, as a writer's events may lie in thousands of objects."""
        waiting: list[Range] = []
        for one in files:
            if waiting and (
                len(waiting) >= _AHEAD
                or sum(min(other.length, _BLOCK) for other in waiting) + min(one.length, _BLOCK) > _MOST_AHEAD
            ):
                yield from self._open_some(waiting)
                waiting = []
            waiting.append(one)
        yield from self._open_some(waiting)

    def _open_some(self, files: Sequence[Range]) -> Iterator[tuple[io.BufferedReader[Any], int] | OSError]:
        begun = [one._replace(length=min(one.length, _BLOCK)) for one in files]
        holding = [i for i, one in enumerate(begun) if one.length]  # S3 has no empty ranges
        data = dict(zip(holding, self._fetched([begun[i] for i in holding])))
        for i, (file, offset, length) in enumerate(files):
            head = data.pop(i, b"")
            if isinstance(head, OSError):
                yield head
                continue
            size = offset + length
            yield io.BufferedReader(_Object(self, file, size, offset, head), min(_BLOCK, max(1, length))), size

    def reader(self) -> Reader:
        """See `Store`."""
        return _RemoteReader(self)

    def exists(self, file: Place) -> bool:
        """See `Store`. It does not take longer than `_SOON`."""
        try:
            return file.name in self._files(file.parent, FRESH, _SOON)
        except OSError:
            return False

    def is_folder(self, folder: Place) -> bool:
        """See `Store`; where there is none, the error says whether there is the store."""
        found = self._asked("ls", folder, detail=True)
        # Of an object it gives the object itself.
        root = _plain(self._fs(), folder).rstrip("/")
        return any(what["type"] != "file" or what["name"].rstrip("/") != root for what in found)

    def read(self, file: Place, offset: int, length: int) -> bytes:
        """Bytes of an object, fewer if it ends before.

        Raises:
          OSError: They cannot be read.
        """
        if length <= 0:  # which s3fs would answer with the whole object
            return b""
        try:
            named = {"start": offset, "end": offset + length}
            if any(kind.__name__ == "ArrowFSWrapper" for kind in type(self._fs()).__mro__):
                named["seekable"] = True  # else pyarrow, as for hdfs://, gives no range that begins with the first byte
            data: bytes = self._asked("cat_file", file, _seconds(length), **named)
        except OSError as error:
            if error.errno == _PAST_THE_END:
                return b""
            raise
        return data

    def read_all(self, ranges: Sequence[Range]) -> list[bytes | OSError]:
        """For each range its bytes, or why they cannot be read: neighbours come by one request, and several at once."""
        with self._own():
            found: list[bytes | OSError | None] = [self._ranges.get(one) for one in ranges]
        groups = _neighbours(ranges, [i for i, known in enumerate(found) if known is None])
        for group, answer in zip(groups, self._fetched([_around([ranges[i] for i in group]) for group in groups])):
            for i in group:
                found[i] = answer
                if isinstance(answer, bytes):
                    begins = ranges[i].offset - ranges[group[0]].offset
                    data = found[i] = answer[begins : begins + ranges[i].length]
                    with self._own():
                        self._ranges.put(ranges[i], data)
        return [b"" if data is None else data for data in found]

    def _fetched(self, ranges: Sequence[Range]) -> list[bytes | OSError]:
        if not ranges:
            return []
        try:
            filesystem = self._fs()
        except OSError as error:
            return [error] * len(ranges)
        if len(ranges) < 2 or not filesystem.async_impl:
            return [self._tried(one) for one in ranges]
        limit, longest = asyncio.Semaphore(_AT_ONCE), max(_seconds(one.length) for one in ranges)
        silent: list[OSError] = []

        async def fetch(one: Range) -> bytes | OSError:
            async with limit:
                if silent:
                    return silent[0]
                path, end = _plain(filesystem, one.file), one.offset + one.length
                began = time.monotonic()
                try:
                    data = bytes(await asyncio.wait_for(filesystem._cat_file(path, start=one.offset, end=end), longest))
                    self._answered[_root(one.file)] = time.monotonic()
                    return data
                except Exception as error:  # noqa: BLE001  # whatever the package raises
                    said = _in_words(error, one.file, longest)
                    if _is_silence(said, began):
                        silent.append(said)
                    return b"" if said.errno == _PAST_THE_END else said

        async def fetch_all() -> list[bytes | OSError]:
            return await asyncio.gather(*map(fetch, ranges))

        def fetched() -> list[bytes | OSError]:
            found: list[bytes | OSError] = self._awaited(
                fetch_all, longest * (1 + len(ranges) / _AT_ONCE), ranges[0].file
            )
            return found

        began = time.monotonic()
        try:
            found: list[bytes | OSError] = self._unless_silent(fetched, ranges[0].file, lambda _: not silent)
        except OSError as error:
            return [error] * len(ranges)
        if silent:
            self._rest(ranges[0].file, silent[0], began)
        return found

    def forget(self, one: Range) -> None:
        """Does not keep a range: what was read there is not what was logged."""
        with self._own():
            self._ranges.drop(one)

    def _tried(self, one: Range) -> bytes | OSError:
        try:
            return self.read(*one)
        except OSError as error:
            return error

    def put(self, file: Place, data: bytes, limit: float | None = None) -> float:
        """Puts an object, whole, in the place of what has its name.

        Args:
          file: What it is called.
          data: All that is in it.
          limit: Seconds that 8 MB may take; `WRITING` if not given. What is longer may take more in proportion.

        Returns:
          Seconds of a processor that another thread has taken for it.

        Raises:
          OSError: It cannot be written; it may be there all the same. See `may_pass`.
        """
        filesystem, limit = self._fs(), (limit or WRITING) * max(1.0, len(data) / _LARGEST)

        async def put() -> float:
            began = time.thread_time()  # of the loop's thread
            await filesystem._pipe_file(_plain(filesystem, file), data)
            return time.thread_time() - began

        took = 0.0
        if filesystem.async_impl:
            took = self._awaited(put, limit, file)
        else:
            if str(file.parent) not in self._made:  # what is no store of objects has folders
                self._call("makedirs", limit, file.parent, exist_ok=True)
                self._made.add(str(file.parent))
            self._call("pipe_file", limit, file, data)
        with self._own():
            self._listings.pop(str(file.parent), None)
        return took

    def _own(self) -> threading.Lock:
        """The lock of what is kept; in a forked process nothing is, and no client of its parent's is used."""
        if self._process != os.getpid():
            self._forget()
        return self._lock

    def _fs(self) -> Any:
        with self._own():
            if self._filesystem is None:
                if is_gfiles(self._scheme):
                    self._filesystem = GFileSystem()
                    return self._filesystem
                if is_twice(self._scheme):
                    _say_who_opens(self._scheme)
                import fsspec

                # Listings that are kept hide what others put there, for ever.
                options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
                try:
                    if fsspec.get_filesystem_class(self._scheme).async_impl:
                        options["loop"] = _loop(self._process)
                    self._filesystem = fsspec.filesystem(self._scheme, **options, **self._named)
                except Exception as error:  # noqa: BLE001  # whatever the package raises
                    raise _in_words(error, RemotePath(f"{self._scheme}://")) from None
            return self._filesystem

    def _asked(self, name: str, place: Place, limit: float | None = None, **named: Any) -> Any:
        """Calls a method that reads."""
        return self._unless_silent(lambda: self._call(name, limit or READING, place, **named), place)

    def _unless_silent(
        self, call: Callable[[], Any], place: Place, is_answer: Callable[[Any], bool] = lambda _: True
    ) -> Any:
        """Calls what asks a store, unless it gave no answer a moment ago."""
        store, now = _root(place), time.monotonic()
        with self._own():
            until, why = self._silent.get(store, (0.0, ""))
        if now < until:
            raise TimeoutError(errno.ETIMEDOUT, why, str(place))
        try:
            answer = call()
        except OSError as error:
            if _is_silence(error, now):
                self._rest(place, error, now)
            raise
        if is_answer(answer):
            self._answered[store] = time.monotonic()
        return answer

    def _rest(self, place: Place, why: OSError, began: float) -> None:
        """Does not ask a store for a while, unless it has given an answer to anybody since."""
        store = _root(place)
        with self._own():
            if self._answered.get(store, -math.inf) < began:
                self._silent[store] = time.monotonic() + _REST, str(why.strerror or why)

    def _in_line(self, call: Callable[[], Any], limit: float) -> Any:
        """Calls a file system that is for one thread; one that gives no answer is left behind, with its thread."""
        with self._own():
            line = self._line = self._line or _Line()
        try:
            return line.call(call, limit)
        except TimeoutError:
            with self._own():
                if self._line is line:
                    self._line = self._filesystem = None
            raise

    def _call(self, name: str, limit: float, place: Place, *args: Any, **named: Any) -> Any:
        """Calls a method of the file system by name; it ends in time where it is one that can be told to."""
        filesystem = self._fs()
        path = _plain(filesystem, place)
        if filesystem.async_impl:
            method = getattr(filesystem, f"_{name}")
            return self._awaited(lambda: method(path, *args, **named), limit, place)
        try:
            if self._scheme in _WITHIN_THE_PROCESS:
                return getattr(filesystem, name)(path, *args, **named)
            return self._in_line(lambda: getattr(filesystem, name)(path, *args, **named), limit)
        except Exception as error:  # noqa: BLE001  # whatever the package raises
            if not isinstance(error, (FileNotFoundError, PermissionError)):
                with self._own():
                    if self._filesystem is filesystem:  # whose one connection may have ended
                        self._filesystem = None
            raise _in_words(error, place, limit) from None

    def _awaited(self, begin: Callable[[], Any], limit: float, place: Place) -> Any:
        import fsspec.asyn

        try:
            return fsspec.asyn.sync(self._fs().loop, begin, timeout=limit)
        except Exception as error:  # noqa: BLE001
            raise _in_words(error, place, limit) from None


@functools.lru_cache(maxsize=1)
def _loop(process: int) -> asyncio.AbstractEventLoop:
    """A loop of our own, on a thread of its own, in this process: what others do in fsspec's neither waits for it."""
    loop = _Loop()
    threading.Thread(target=loop.run_forever, name=f"tb_layerview_loop_{process}", daemon=True).start()
    return loop


class _Loop(asyncio.SelectorEventLoop):
    """One that still finds a host while the process ends, when no pool of threads takes anything any more."""

    def run_in_executor(  # type: ignore[override]  # a future is what is awaited
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        try:
            return super().run_in_executor(executor, func, *args)
        except RuntimeError:  # the interpreter shuts down
            future = self.create_future()
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
                future.set_exception(error)
            return future


class _RemoteReader:
    """Reads several ranges at a time."""

    def __init__(self, store: RemoteStore) -> None:
        self.ahead = _AHEAD
        self._store = store

    def read(self, ranges: Sequence[Range]) -> list[bytes | OSError]:
        """See `Reader`."""
        found: list[bytes | OSError] = []
        some: list[Range] = []
        for one in ranges:
            if some and sum(other.length for other in some) + one.length > _MOST_AHEAD:
                found += self._store.read_all(some)
                some = []
            some.append(one)
        return found + self._store.read_all(some)

    def forget(self, one: Range) -> None:
        """See `Reader`."""
        self._store.forget(one)

    def __enter__(self) -> _RemoteReader:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        pass


class _Object(io.RawIOBase):
    """An object that is read from its beginning on, in blocks."""

    def __init__(self, store: RemoteStore, file: Place, size: int, begins: int = 0, known: bytes = b"") -> None:
        """Knows already the bytes from one on."""
        self._store, self._file, self._size = store, file, size
        self._begins, self._known = begins, known
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        at = self._at - self._begins
        if 0 <= at < len(self._known):
            data = self._known[at : at + len(buffer)]
        else:
            self._known = b""  # it is read once
            data = self._store.read(self._file, self._at, min(len(buffer), self._size - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Ranges:
    """Ranges that were read lately; not for many threads."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[Range, bytes] = collections.OrderedDict()
        self._held = 0

    def get(self, one: Range) -> bytes | None:
        if one not in self._kept:
            return None
        self._kept.move_to_end(one)
        return self._kept[one]

    def put(self, one: Range, data: bytes) -> None:
        if one in self._kept or len(data) != one.length or len(data) > _KEPT // 4:
            return
        self._kept[one] = data
        self._held += len(data)
        while self._held > _KEPT:
            self._held -= len(self._kept.popitem(last=False)[1])

    def drop(self, one: Range) -> None:
        self._held -= len(self._kept.pop(one, b""))


class _Line:
    """A thread that does one call after the other."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="tb_layerview_store", daemon=True).start()

    def call(self, what: Callable[[], Any], limit: float) -> Any:
        """Calls it there.

        Raises:
          TimeoutError: It has not ended in time; it may still run.
        """
        done: Future[Any] = Future()
        self._waiting.put((done, what))
        try:
            return done.result(limit)
        except TimeoutError:
            if not done.cancel():
                self._waiting.put(None)  # ends with what it waits for
            raise

    def _work(self) -> None:
        while asked := self._waiting.get():
            done, what = asked
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(what())
            except BaseException as error:  # noqa: BLE001  # it is raised where it was asked for
                done.set_exception(error)


def _neighbours(ranges: Sequence[Range], asked: Sequence[int]) -> list[list[int]]:
    """Groups of ranges, by their index, each of which is fetched by one request; those of no bytes are in none."""
    groups: list[list[int]] = []
    end = 0
    for i in sorted((i for i in asked if ranges[i].length > 0), key=lambda i: (str(ranges[i].file), ranges[i].offset)):
        one = ranges[i]
        if groups:
            first = ranges[groups[-1][0]]
            stays = max(end, one.offset + one.length) - first.offset <= _LARGEST
            if first.file == one.file and one.offset - end <= _GAP and stays:
                groups[-1].append(i)
                end = max(end, one.offset + one.length)
                continue
        groups.append([i])
        end = one.offset + one.length
    return groups


def _around(ranges: Sequence[Range]) -> Range:
    """The range from the beginning of the first one to the end of the last."""
    end = max(one.offset + one.length for one in ranges)
    return Range(ranges[0].file, ranges[0].offset, end - ranges[0].offset)


def may_pass(error: OSError) -> bool:
    """Whether it may be otherwise in a while, of an error that a store has raised: it gives no answer, or is busy."""
    return error.errno in _PASSING


def _plain(filesystem: Any, place: Place) -> str:
    return str(filesystem._strip_protocol(str(place)))


@functools.cache
def _say_who_opens(scheme: str) -> None:
    logging.getLogger(__name__).info("%s:// is known to both fsspec and TensorFlow: fsspec opens it", scheme)


def _root(place: Place) -> str:
    """The address of the store that something is in."""
    return "/".join(str(place).split("/", 3)[:3])


def _is_silence(error: OSError, began: float) -> bool:
    """Whether a store gave no answer to what was asked then."""
    is_late = time.monotonic() - began > _SLOW and not isinstance(error, (FileNotFoundError, PermissionError))
    return isinstance(error, TimeoutError) or is_late


def _seconds(length: int) -> float:
    """How long a range may take: that of what is much longer than most, in proportion."""
    return READING * max(1.0, length / _LARGEST)


def _is_past_the_end(error: BaseException) -> bool:
    """Whether a store has no such range (HTTP 416), as each package says it."""
    answers = [error, error.__cause__, getattr(error, "response", None), getattr(error.__cause__, "response", None)]
    for answer in answers:
        said: tuple[Any, ...]
        if isinstance(answer, dict):  # botocore's
            said = (answer.get("Error", {}).get("Code"), answer.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        else:
            said = tuple(getattr(answer, name, None) for name in ("code", "status", "status_code", "error_code"))
        if "InvalidRange" in said or "416" in said or 416 in said:
            return True
    return False


def _in_words(error: BaseException, place: Place, limit: float = READING) -> OSError:
    """What a package has raised, as an OSError that says it."""
    package = PACKAGES.get(scheme_of(str(place)) or "", "fsspec")
    if type(error).__name__ == "FSTimeoutError" or isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return TimeoutError(errno.ETIMEDOUT, f"the store gives no answer within {limit:.0f} s", str(place))
    if isinstance(error, ImportError):  # fsspec says that it is not installed, and only by its cause what is wrong
        why = _without_secrets(str(error.__cause__ or error))
        return OSError(errno.ENOSYS, f"the package {package} is installed, and cannot be imported: {why}", str(place))
    said = _without_secrets(getattr(error, "strerror", None) or str(error)) or type(error).__name__
    if isinstance(error, FileNotFoundError) or type(error).__name__ == "ResourceNotFoundError":  # adlfs'
        return FileNotFoundError(errno.ENOENT, f"it is not there ({said})", str(place))
    if isinstance(error, PermissionError) or "AccessDenied" in said or "Forbidden" in said:
        return PermissionError(errno.EACCES, f"there is no permission to use it ({said})", str(place))
    code = getattr(error, "code", None)  # gcsfs has it
    if code == 429 or (isinstance(code, int) and code >= 500):
        return OSError(errno.EBUSY, f"{package} says: {said}", str(place))
    if isinstance(error, ConnectionError) or _UNREACHABLE.search(type(error).__name__):
        return ConnectionError(errno.ECONNREFUSED, f"the store cannot be reached ({said})", str(place))
    if _is_past_the_end(error):
        return OSError(_PAST_THE_END, said, str(place))
    if said.startswith("tf.io.gfile says"):
        return OSError(error.errno if isinstance(error, OSError) else errno.EIO, said, str(place))
    name = "" if type(error) is OSError else f"{type(error).__name__}: "
    return OSError(getattr(error, "errno", None) or errno.EIO, f"{package} says: {name}{said}", str(place))


def _without_secrets(said: str) -> str:
    """A message on one line, without what stands after the question mark of an address or may be a secret."""
    line = " ".join(said.partition("<?xml")[0].split())
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(_SECRETS, name, re.IGNORECASE):
            line = line.replace(value, "…")
    line = re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1?…", line)
    line = re.sub(r"(://)[^/\s@]+@", r"\1…@", line)
    line = re.sub(r"(?i)\b(bearer|basic|sharedkey|aws4-hmac-sha256) \S+", r"\1 …", line)
    # `key: "all that stands in quotes"`, or a word, of two where the first says of which kind it is.
    value = r"'[^']*'?|\"[^\"]*\"?|(?:\w+ (?=…))?\S+"
    line = re.sub(rf"(?i)((?:{_SECRETS})[\w-]*['\"]?\s*[=:>]\s*)(?:{value})", r"\1…", line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
