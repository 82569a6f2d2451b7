"""Resource storage in a directory."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from aria_core import NotFoundError, ResourceStorage, StorageError, StorageUnavailableError, hookimpl

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without NONBLOCK a pipe that somebody put there would hang us.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTS = ".parts"
_ABANDONED = 86_400
"""Seconds after which a part in a shared directory is nobody's any more."""
_UNAVAILABLE = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
    errno.ESTALE, errno.EFBIG})


class FileStorage(ResourceStorage):
    """Keeps each key as a file below `directory`, readable by its owner only.

    Every step from `directory` to a file opens one folder and follows no link, so nothing that lies in
    there leads outside. A file is written under ``.parts``, synchronised and then moved to its place.

    With `shared` the directory is one that every host has mounted at the same place and that the same user
    may write everywhere. Its file system must rename atomically, show a file that was closed to whoever
    opens it afterwards, and take ``fsync`` of files and folders; locks are not needed.
    """

    reach: Literal["process", "host", "network"] = "host"

    def __init__(self, directory: Path, shared: bool = False) -> None:
        self._directory = Path(directory)
        self._shared = shared
        self.reach = "network" if shared else "host"

    def open(self) -> None:
        """Make the directory, and remove what writers that were killed have left behind."""
        with _explained("use", str(self._directory), root=True):
            self._directory.parent.mkdir(parents=True, exist_ok=True)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            (self._directory / _PARTS).mkdir(mode=0o700, exist_ok=True)
            self._sweep()

    def close(self) -> None:
        """Nothing is held between calls."""

    def spec(self) -> tuple[str, Mapping[str, Any]]:
        """Its class, its directory and whether that is shared."""
        keywords = {"directory": str(self._directory.absolute()), "shared": self._shared}
        return f"{type(self).__module__}:{type(self).__qualname__}", keywords

    def read(self, key: str) -> bytes:
        """The bytes under `key`."""
        with _explained("read", key), self._folder_of(key) as (folder, name):
            _check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False), key)
            number = os.open(name, _FILE, dir_fd=folder)
            with os.fdopen(number, "rb") as stream:
                _check_regular(os.fstat(number), key)
                return stream.read()

    def is_executable(self, key: str) -> bool:
        """Whether the file under `key` is executable."""
        with _explained("read", key), self._folder_of(key) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            _check_regular(found, key)
            return bool(found.st_mode & stat.S_IXUSR)

    def put(self, key: str, data: bytes, *, executable: bool = False) -> None:
        """Write beside, synchronise, move into place, synchronise the folder."""
        with (_explained("write", key), self._parts() as parts,
              self._folder_of(key, create=True) as (folder, name)):
            part = secrets.token_hex(16)
            try:
                _write(parts, part, data, 0o700 if executable else 0o600)
                _move(parts, part, folder, name)
            except BaseException:
                _discard(parts, part)
                raise
            os.fsync(folder)

    def list(self, prefix: str) -> Iterator[str]:
        """The paths of the files below `prefix`."""
        try:
            with _explained("list", prefix):
                return iter(sorted(self._keys(prefix)))
        except NotFoundError:
            return iter(())

    def delete(self, prefix: str) -> bool:
        """Move what `prefix` names away, so that it vanishes at once, and remove it."""
        if not prefix:
            return self._delete_all()
        try:
            with (_explained("delete", prefix), self._parts() as parts,
                  self._folder_of(prefix) as (folder, name)):
                part = secrets.token_hex(16)
                os.rename(name, part, src_dir_fd=folder, dst_dir_fd=parts)
                os.fsync(folder)
                _discard(parts, part)
        except NotFoundError:
            return False
        return True

    def _delete_all(self) -> bool:
        with _explained("use", str(self._directory), root=True):
            names = [each.name for each in self._directory.iterdir() if each.name != _PARTS]
        return [self.delete(name) for name in names].count(True) > 0

    def _keys(self, prefix: str) -> Iterator[str]:
        with self._folder_of(prefix or ".") as (folder, name):
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                yield prefix
                return
            top = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from _files_below(top, prefix)
            finally:
                os.close(top)

    @contextmanager
    def _folder_of(self, key: str, create: bool = False) -> Iterator[tuple[int, str]]:
        *folders, name = key.split("/")
        if ".." in (*folders, name) or (folders or [name])[0] == _PARTS:
            raise StorageError(f"the resource path {key!r} is not one that this storage keeps")
        with ExitStack() as stack:
            number = self._open_root(stack)
            for each in folders:
                if create:
                    _make_folder(number, each)
                number = _open_folder(number, each, create)
                stack.callback(os.close, number)
            yield number, name

    @contextmanager
    def _parts(self) -> Iterator[int]:
        with ExitStack() as stack:
            root = self._open_root(stack)
            _make_folder(root, _PARTS)
            number = os.open(_PARTS, _FOLDER, dir_fd=root)
            stack.callback(os.close, number)
            if not self._shared:  # a network's file system may have no locks, or only such as its host sees
                fcntl.flock(number, fcntl.LOCK_SH)
            yield number

    def _open_root(self, stack: ExitStack) -> int:
        with _explained("use", str(self._directory), root=True):
            number = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, number)
        return number

    def _sweep(self) -> None:
        number = os.open(self._directory / _PARTS, _FOLDER)
        try:
            if not self._shared:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before = time.time() - _ABANDONED if self._shared else float("inf")
            with os.scandir(number) as parts:
                for part in parts:
                    if part.stat(follow_symlinks=False).st_mtime < before:
                        _discard(number, part.name)
        except BlockingIOError:
            return  # somebody is writing; what is left over can wait for a quieter start
        except FileNotFoundError:
            return  # another host moved it to its place, or swept it, at that moment
        finally:
            os.close(number)


def _files_below(top: int, prefix: str) -> Iterator[str]:
    for folder, folders, files, number in os.fwalk(".", dir_fd=top, follow_symlinks=False):
        if not prefix and folder == ".":
            folders[:] = [each for each in folders if each != _PARTS]
        for each in files:
            if stat.S_ISREG(os.stat(each, dir_fd=number, follow_symlinks=False).st_mode):
                yield "/".join(part for part in (prefix, folder[2:], each) if part)


def _write(folder: int, name: str, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(name, _NEW, mode, dir_fd=folder), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())


def _move(parts: int, part: str, folder: int, name: str) -> None:
    try:
        os.rename(part, name, src_dir_fd=parts, dst_dir_fd=folder)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=folder)  # left empty by delete; with something in it this fails, as it should
        os.rename(part, name, src_dir_fd=parts, dst_dir_fd=folder)


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def _open_folder(parent: int, name: str, create: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "a link") from None
        if create:
            raise
        raise FileNotFoundError(errno.ENOENT, "a file") from None  # nothing lies below a file


def _discard(folder: int, name: str) -> None:
    try:
        shutil.rmtree(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=folder)


def _check_regular(found: os.stat_result, key: str) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "a link")
    if not stat.S_ISREG(found.st_mode):
        raise NotFoundError(f"there is no file {key!r} in the resource storage")


@contextmanager
def _explained(what: str, key: str, root: bool = False) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if root:
            raise StorageUnavailableError(f"the resource directory {key} is gone") from error
        raise NotFoundError(f"there is no {key!r} in the resource storage") from error
    except OSError as error:
        raise _translated(what, key, error, root) from error


def _translated(what: str, key: str, error: OSError, root: bool) -> StorageError:
    if root:
        return StorageUnavailableError(f"cannot use the resource directory {key}: {error.strerror}")
    if error.errno in _UNAVAILABLE:
        return StorageUnavailableError(f"cannot {what} {key!r} in the resource storage: {error.strerror}")
    if error.errno == errno.ELOOP:
        return StorageError(f"{key!r} leads through a link; the resource storage follows none")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY):
        return StorageError(f"cannot {what} {key!r}: part of it is a file or link where a folder is needed, "
                            "or the other way round")
    return StorageError(f"cannot {what} {key!r} in the resource storage: {error.strerror}")


@hookimpl
def aria_resource_storage() -> type[ResourceStorage]:
    """Files below a directory."""
    return FileStorage
