"""Folders on a disk or in an object store, by one interface: pyarrow's, and fsspec's for what that
does not know.

Google's store is fsspec's too: to pyarrow, what lies there in no folder that was made as such is
not listed.
"""

import contextlib
import os
import posixpath
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
from pyarrow import fs

from models.contract import atomic
from service.cluster.errors import ClusterError
from service.predict import pictures

# Stores in which an object is there when all of it is. Elsewhere a file is written beside and
# renamed.
_WHOLE_OR_NOT_THERE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}


@dataclass(frozen=True)
class File:
    """A file of a folder. `stamp` differs when the file was changed: its size, and what the store
    has beside.
    """

    name: str
    stamp: str


@dataclass(frozen=True)
class Listing:
    """What lies right in one folder, in order. `path` is relative to where the walk began."""

    path: str
    files: tuple[File, ...]
    folders: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return [file.name for file in self.files]


@dataclass(frozen=True)
class Folder:
    """One folder or prefix. Paths in it are relative, with slashes. It can be sent to other
    machines.
    """

    filesystem: fs.FileSystem
    path: str

    @classmethod
    def at(cls, uri: str) -> "Folder":
        """The folder of a path or URI: photos/, s3://bucket/photos, gs://…, any that fsspec knows.
        Raises ClusterError.
        """
        try:
            if "://" not in uri:
                return cls(fs.LocalFileSystem(), str(Path(uri).resolve()))
            filesystem, path = _opened(uri)
        except (ValueError, ImportError, OSError) as error:
            raise ClusterError(f"{shown(uri)} cannot be opened: {error}") from None
        return cls(filesystem, path.rstrip("/"))

    def below(self, relative: str) -> "Folder":
        return Folder(self.filesystem, self.at_path(relative))

    def exists(self) -> bool:
        return bool(self.filesystem.get_file_info(self.path).type == fs.FileType.Directory)

    def walk(self, prune: Callable[[Listing], bool] = lambda _listing: False) -> Iterator[Listing]:
        """This folder and each below it, but those that `prune` takes and what lies in them.

        One folder's names are in memory at a time, and a disk's links are followed once. Raises
        OSError.
        """
        if isinstance(self.filesystem, fs.LocalFileSystem):
            yield from self._walk_disk(prune)
            return
        waiting = [""]
        while waiting:
            listing = self.list(waiting.pop())
            if not prune(listing):
                yield listing
                below = reversed(listing.folders)
                waiting += [posixpath.join(listing.path, name) for name in below]

    def list(self, relative: str = "") -> Listing:
        """What lies right in the folder; nothing where there is no such folder. Raises OSError."""
        path = self.at_path(relative)
        if isinstance(self.filesystem, fs.PyFileSystem):
            return _list_by_fsspec(self.filesystem.handler.fs, path, relative)
        found = self.filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        found.sort(key=lambda info: info.base_name)
        files = [
            File(info.base_name, f"{info.size}:{info.mtime_ns}")
            for info in found
            if info.type != fs.FileType.Directory
        ]
        folders = [info.base_name for info in found if info.type == fs.FileType.Directory]
        return Listing(relative, tuple(files), tuple(folders))

    def read(self, relative: str) -> bytes:
        """Raises OSError."""
        with self.filesystem.open_input_stream(self.at_path(relative)) as file:
            body: bytes = file.read()
        return body

    def write(self, relative: str, *chunks: bytes) -> None:
        """Write the chunks so that what has the name is whole. Raises OSError."""
        path = self.at_path(relative)
        if isinstance(self.filesystem, fs.LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic.replacing(Path(path)) as partial, partial.open("wb") as file:
                file.writelines(chunks)
        elif _is_object_store(self.filesystem):
            self._put(path, chunks)
        else:
            self._put_and_rename(path, chunks)

    def remove(self, relative: str) -> None:
        """Remove a folder with all in it, where there is one."""
        if self.below(relative).exists():
            self.filesystem.delete_dir(self.at_path(relative))

    def contains(self, other: "Folder", relative: str = "") -> bool:
        """Whether a folder of `other` is this one or lies in it."""
        return self.path_in(other, relative) is not None

    def path_in(self, other: "Folder", relative: str = "") -> str | None:
        """The path of a folder of `other` relative to this one; None where it lies elsewhere."""
        if self.filesystem != other.filesystem:
            return None
        here, there = f"{self.path}/", f"{other.at_path(relative)}/"
        if isinstance(self.filesystem, fs.LocalFileSystem):  # what links lead to
            here, there = f"{os.path.realpath(here)}/", f"{os.path.realpath(there)}/"
        return there.removeprefix(here).rstrip("/") if there.startswith(here) else None

    def path_to(self, other: "Folder") -> str:
        """A path or URI of `other`, the same as long as the two lie the same way: on one disk from
        here.
        """
        if isinstance(self.filesystem, fs.LocalFileSystem) and self.filesystem == other.filesystem:
            return os.path.relpath(other.path, self.path)
        return f"{other.filesystem.type_name}:{other.path}"

    def at_path(self, relative: str) -> str:
        """The path in the file system of one below this folder."""
        return posixpath.join(self.path, relative) if relative else self.path

    def _walk_disk(self, prune: Callable[[Listing], bool]) -> Iterator[Listing]:
        if not Path(self.path).is_dir():
            return
        listing = Listing("", (), ())

        def is_left_out(folder: pictures.Folder) -> bool:
            nonlocal listing
            relative = folder.path.relative_to(self.path).as_posix()
            files = tuple(_file_on_disk(folder.path / name) for name in folder.files)
            listing = Listing("" if relative == "." else relative, files, folder.folders)
            return prune(listing)

        for folder in pictures.walk(Path(self.path), is_left_out):
            if folder.fault is not None:
                raise OSError(f"{folder.path} cannot be read: {folder.fault}")
            yield listing

    def _put(self, path: str, chunks: Iterable[bytes]) -> None:
        with self.filesystem.open_output_stream(path) as file:
            for chunk in chunks:
                file.write(chunk)

    def _put_and_rename(self, path: str, chunks: Iterable[bytes]) -> None:
        folder = posixpath.dirname(path)
        self.filesystem.create_dir(folder, recursive=True)
        partial = posixpath.join(folder, f"{atomic.PARTIAL_PREFIX}{secrets.token_hex(8)}")
        try:
            self._put(partial, chunks)
            self.filesystem.move(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.filesystem.delete_file(partial)
            raise


def _file_on_disk(path: Path) -> File:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere, which is told of when it is read
        return File(path.name, "")
    return File(path.name, f"{status.st_size}:{status.st_mtime_ns}")


# What stores call the time and the digest of an object, as far as fsspec hands them on.
_STAMPS = ("mtime", "LastModified", "last_modified", "updated", "etag", "ETag", "generation")


def _list_by_fsspec(filesystem: fsspec.AbstractFileSystem, path: str, relative: str) -> Listing:
    """Not through pyarrow, for which some list all below a folder and keep what is right in it."""
    try:
        found = filesystem.ls(path, detail=True)
    except FileNotFoundError:
        return Listing(relative, (), ())
    # a store may have an object with the folder's own name
    own = path.strip("/")
    found = [entry for entry in found if entry["name"].strip("/") != own]
    names = {posixpath.basename(entry["name"].rstrip("/")): entry for entry in found}
    entries = sorted(names.items())
    files = [
        File(name, ":".join(str(entry[k]) for k in ("size", *_STAMPS) if k in entry))
        for name, entry in entries
        if entry["type"] != "directory"
    ]
    folders = [name for name, entry in entries if entry["type"] == "directory"]
    return Listing(relative, tuple(files), tuple(folders))


def shown(uri: str) -> str:
    """The URI without the key that it may hold and without its query."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=place if ":" in user else parts.netloc, query="").geturl()


def _opened(uri: str) -> tuple[fs.FileSystem, str]:
    scheme = uri.partition("://")[0]
    if scheme == "s3":
        # what fits into one request is sent with one, in place of three
        uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    if scheme not in ("gs", "gcs"):
        try:
            filesystem, path = fs.FileSystem.from_uri(uri)
            return filesystem, path
        except pa.ArrowInvalid:
            if scheme == "s3":
                raise
    # each listing anew: other machines write there too
    other, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return fs.PyFileSystem(fs.FSSpecHandler(other)), path


def _is_object_store(filesystem: fs.FileSystem) -> bool:
    if not isinstance(filesystem, fs.PyFileSystem):
        return filesystem.type_name in _WHOLE_OR_NOT_THERE
    protocol = filesystem.handler.fs.protocol
    return not _WHOLE_OR_NOT_THERE.isdisjoint([protocol] if isinstance(protocol, str) else protocol)
