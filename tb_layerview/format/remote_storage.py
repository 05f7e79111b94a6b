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
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from tb_layerview.format.addresses import PACKAGES, checked, scheme_of
from tb_layerview.format.places import Place, Range, Reader, RemotePath

#: Seconds that one request may take with all its retries, for reading and for writing.
READING = WRITING = 30.0
#: Seconds for which a listing is taken for what is there, unless the newest is asked for.
FRESH = 5.0
#: Folders whose listings are remembered.
_MOST_FOLDERS = 1024
#: Bytes that are read ahead of an event file; TensorBoard's events, and ours, are read from the first to the last.
_BLOCK = 8 << 20
#: Ranges that are asked for at a time, of so many bytes together; and requests that wait for an answer at a time.
_AHEAD, _MOST_AHEAD, _AT_ONCE = 64, 16 << 20, 8
#: Bytes between two ranges that are fetched with them rather than by another request, and the most of one request.
_GAP, _LARGEST = 256 << 10, 8 << 20
#: Bytes of ranges that are kept, as what was written is never changed.
_KEPT = 32 << 20
_LONGEST = 300
#: Of a range that begins at an object's end or after it: S3 has no empty ranges.
_PAST_THE_END = errno.ERANGE
#: No answer, an answer that does not come through, an error of the server's own, too many requests.
_PASSING = {errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO)}
_UNREACHABLE = re.compile("Connect|HTTPClientError|ServerDisconnected|ClientPayload|ClientOSError|gaierror")
_SECRETS = "signature|token|secret|key|credential|password|sig"


def store_of(place: Place) -> RemoteStore:
    """What reads and writes at a place in a store.

    Raises:
      OSError: The package that opens it is not installed, or there is none.
    """
    try:
        path = checked(str(place))
    except ValueError as error:
        raise OSError(errno.ENOSYS, str(error).rstrip("."), str(place)) from None
    return _store(scheme_of(path) or "")


@functools.cache
def _store(scheme: str) -> RemoteStore:
    return RemoteStore(scheme)


class RemoteStore:
    """All that one scheme leads to. May be used from many threads; a forked process makes clients of its own."""

    def __init__(self, scheme: str) -> None:
        """Opens nothing yet."""
        self._scheme = scheme
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._filesystem: Any = None
        self._listings: collections.OrderedDict[str, tuple[float, dict[str, int]]] = collections.OrderedDict()
        self._ranges = _Ranges()

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

    def _files(self, folder: Place, within: float, limit: float | None = None) -> dict[str, int]:
        """The files in a folder, as a listing that is no older than so many seconds has them."""
        with self._own():
            at, known = self._listings.get(str(folder), (0.0, {}))
        if at and time.monotonic() - at <= within:
            return known
        found = self._find(folder, False, limit)
        self._remember(str(folder), found)
        return found

    def _remember(self, folder: str, files: dict[str, int]) -> None:
        with self._own():
            self._listings[folder] = time.monotonic(), files
            self._listings.move_to_end(folder)
            if len(self._listings) > _MOST_FOLDERS:
                self._listings.popitem(last=False)

    def _find(self, folder: Place, with_all_below: bool, limit: float | None = None) -> dict[str, int]:
        """The files in a folder, and in those below it, by what leads to them from it.

        Raises:
          FileNotFoundError: There is none, where those below it are not asked for.
        """
        root = _plain(self._fs(), folder)
        if with_all_below:
            entries = self._call("find", READING, folder, detail=True).values()
        else:
            entries = self._call("ls", limit or READING, folder, detail=True)
        names = ((what["name"][len(root) :].lstrip("/"), what) for what in entries)
        return {name: int(what["size"] or 0) for name, what in names if name and what["type"] == "file"}

    def open(self, file: Place, size: int | None = None) -> tuple[io.BufferedReader[Any], int]:
        """See `Store`."""
        if size is None:
            size = self._files(file.parent, FRESH).get(file.name)
        if size is None:
            raise FileNotFoundError(errno.ENOENT, "it is not there", str(file))
        return io.BufferedReader(_Object(self, file, size), _BLOCK), size

    def reader(self) -> Reader:
        """See `Store`."""
        return _RemoteReader(self)

    def exists(self, file: Place) -> bool:
        """See `Store`."""
        try:
            return file.name in self._files(file.parent, FRESH)
        except OSError:
            return False

    def is_folder(self, folder: Place) -> bool:
        """See `Store`; where there is none, the error says whether there is the store."""
        return bool(self._call("ls", READING, folder, detail=True))

    def read(self, file: Place, offset: int, length: int) -> bytes:
        """Bytes of an object, fewer if it ends before.

        Raises:
          OSError: They cannot be read.
        """
        if length <= 0:  # which s3fs would answer with the whole object
            return b""
        try:
            data: bytes = self._call("cat_file", READING, file, start=offset, end=offset + length)
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
        filesystem = self._fs()
        if len(ranges) < 2 or not filesystem.async_impl:
            return [self._tried(one) for one in ranges]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def fetch(one: Range) -> bytes | OSError:
            async with limit:
                try:
                    end = one.offset + one.length
                    return bytes(await filesystem._cat_file(_plain(filesystem, one.file), start=one.offset, end=end))
                except Exception as error:  # noqa: BLE001  # whatever the package raises
                    said = _in_words(error, one.file)
                    return b"" if said.errno == _PAST_THE_END else said

        async def fetch_all() -> list[bytes | OSError]:
            return await asyncio.gather(*map(fetch, ranges))

        try:
            return list(self._awaited(fetch_all, READING, ranges[0].file))
        except OSError as error:
            return [error] * len(ranges)

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
          limit: Seconds that it may take; `WRITING` if not given.

        Returns:
          Seconds of a processor that another thread has taken for it.

        Raises:
          OSError: It cannot be written; it may be there all the same. See `may_pass`.
        """
        filesystem = self._fs()
        if not filesystem.async_impl:
            self._call("pipe_file", WRITING, file, data)
            return 0.0

        async def put() -> float:
            began = time.thread_time()  # of the loop's thread
            await filesystem._pipe_file(_plain(filesystem, file), data)
            return time.thread_time() - began

        took: float = self._awaited(put, limit or WRITING, file)
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
                import fsspec

                # Listings that are kept hide what others put there, for ever.
                options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
                try:
                    if fsspec.get_filesystem_class(self._scheme).async_impl:
                        options["loop"] = _loop(self._process)
                    self._filesystem = fsspec.filesystem(self._scheme, **options)
                except Exception as error:  # noqa: BLE001  # whatever the package raises
                    raise _in_words(error, RemotePath(f"{self._scheme}://")) from None
            return self._filesystem

    def _call(self, name: str, limit: float, place: Place, *args: Any, **named: Any) -> Any:
        """Calls a method of the file system by name; it ends in time where it is one that can be told to."""
        filesystem = self._fs()
        path = _plain(filesystem, place)
        if filesystem.async_impl:
            method = getattr(filesystem, f"_{name}")
            return self._awaited(lambda: method(path, *args, **named), limit, place)
        try:
            return getattr(filesystem, name)(path, *args, **named)
        except Exception as error:  # noqa: BLE001  # whatever the package raises
            raise _in_words(error, place) from None

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

    def __enter__(self) -> _RemoteReader:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        pass


class _Object(io.RawIOBase):
    """An object that is read from its beginning on, in blocks."""

    def __init__(self, store: RemoteStore, file: Place, size: int) -> None:
        self._store, self._file, self._size = store, file, size
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


def _in_words(error: BaseException, place: Place, limit: float = READING) -> OSError:
    """What a package has raised, as an OSError that says it."""
    package = PACKAGES.get(scheme_of(str(place)) or "", "fsspec")
    if type(error).__name__ == "FSTimeoutError" or isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return TimeoutError(errno.ETIMEDOUT, f"the store gives no answer within {limit:.0f} s", str(place))
    said = _without_secrets(getattr(error, "strerror", None) or str(error)) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, f"it is not there ({said})", str(place))
    if isinstance(error, PermissionError) or "AccessDenied" in said or "Forbidden" in said:
        return PermissionError(errno.EACCES, f"there is no permission to use it ({said})", str(place))
    code = getattr(error, "code", None)  # gcsfs has it
    if code == 429 or (isinstance(code, int) and code >= 500):
        return OSError(errno.EBUSY, f"{package} says: {said}", str(place))
    if isinstance(error, ConnectionError) or _UNREACHABLE.search(type(error).__name__):
        return ConnectionError(errno.ECONNREFUSED, f"the store cannot be reached ({said})", str(place))
    if "416" in said or ("range" in said.lower() and isinstance(error, OSError)):
        return OSError(_PAST_THE_END, said, str(place))
    name = "" if type(error) is OSError else f"{type(error).__name__}: "
    return OSError(getattr(error, "errno", None) or errno.EIO, f"{package} says: {name}{said}", str(place))


def _without_secrets(said: str) -> str:
    """A message on one line, without what stands after the question mark of an address or may be a key."""
    line = " ".join(said.split())
    line = re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1?…", line)
    line = re.sub(r"(://[^/\s:@]*:)[^/\s@]+@", r"\1…@", line)
    line = re.sub(
        r"(?i)((?:signature|token|secret|key|credential|password|sig)[\w-]*['\"]?\s*[=:]\s*)\S+", r"\1…", line
    )
    line = re.sub(r"(?i)(bearer )\S+", r"\1…", line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
