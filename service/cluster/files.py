"""Folders on a disk or in an object store, by one interface: pyarrow's, and fsspec's for what that does not know.

Google's store is fsspec's too: to pyarrow, what lies there in no folder that was made as such is not listed.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
from pyarrow import fs

from service.cluster.errors import ClusterError

# Stores in which an object is there when all of it is. Elsewhere a file is written beside and renamed.
_WHOLE_OR_NOT_THERE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}


@dataclass(frozen=True)
class Folder:
    """One folder or prefix. Paths in it are relative, with slashes. It can be sent to other machines."""

    filesystem: fs.FileSystem
    path: str

    @classmethod
    def at(cls, uri: str) -> "Folder":
        """The folder of a path or URI: photos/, s3://bucket/photos, gs://…, any that fsspec knows. Raises ClusterError."""
        try:
            if "://" not in uri:
                return cls(fs.LocalFileSystem(), str(Path(uri).resolve()))
            filesystem, path = _opened(uri)
        except (ValueError, ImportError, OSError) as error:
            raise ClusterError(f"{shown(uri)} cannot be opened: {error}") from None
        return cls(filesystem, path.rstrip("/"))

    def below(self, relative: str) -> "Folder":
        return Folder(self.filesystem, self._at(relative))

    def exists(self) -> bool:
        return bool(self.filesystem.get_file_info(self.path).type == fs.FileType.Directory)

    def walk(self, relative: str = "") -> Iterator[tuple[str, list[str]]]:
        """Each folder with the names of its files, both in order; one folder's names are in memory at a time."""
        files, folders = self._list(relative)
        yield relative, files
        for name in folders:
            yield from self.walk(posixpath.join(relative, name))

    def names(self, relative: str = "") -> list[str]:
        """The names of the files right in the folder; none where there is no such folder."""
        return self._list(relative)[0]

    def folders(self, relative: str = "") -> list[str]:
        return self._list(relative)[1]

    def read(self, relative: str) -> bytes:
        """Raises OSError."""
        with self.filesystem.open_input_stream(self._at(relative)) as file:
            body: bytes = file.read()
        return body

    def write(self, relative: str, body: bytes) -> None:
        """Write it so that what has the name is whole. Raises OSError."""
        path = self._at(relative)
        if _is_object_store(self.filesystem):
            self._put(path, body)
            return
        folder, name = posixpath.split(path)
        self.filesystem.create_dir(folder, recursive=True)
        part = posixpath.join(folder, f".{name}.part")
        self._put(part, body)
        self.filesystem.move(part, path)

    def remove(self, relative: str) -> None:
        """Remove a folder with all in it, where there is one."""
        if self.below(relative).exists():
            self.filesystem.delete_dir(self._at(relative))

    def contains(self, other: "Folder", relative: str) -> bool:
        """Whether a folder of `other` is this one or lies in it."""
        here = other._at(relative)
        return self.filesystem == other.filesystem and f"{here}/".startswith(f"{self.path}/")

    def _at(self, relative: str) -> str:
        return posixpath.join(self.path, relative) if relative else self.path

    def _put(self, path: str, body: bytes) -> None:
        with self.filesystem.open_output_stream(path) as file:
            file.write(body)

    def _list(self, relative: str) -> tuple[list[str], list[str]]:
        path = self._at(relative)
        if isinstance(self.filesystem, fs.PyFileSystem):
            entries = _list_by_fsspec(self.filesystem.handler.fs, path)
        else:
            found = self.filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
            entries = [(info.base_name, info.type == fs.FileType.Directory) for info in found]
        files = sorted(name for name, is_folder in entries if not is_folder)
        return files, sorted(name for name, is_folder in entries if is_folder)


def _list_by_fsspec(filesystem: fsspec.AbstractFileSystem, path: str) -> list[tuple[str, bool]]:
    """Not through pyarrow, for which some list all below the folder and keep what is right in it."""
    try:
        found = filesystem.ls(path, detail=True)
    except FileNotFoundError:
        return []
    # a store may have an object with the folder's own name
    entries = [(entry["name"].rstrip("/"), entry["type"] == "directory") for entry in found]
    own = path.strip("/")
    return [
        (posixpath.basename(name), folder) for name, folder in entries if name.strip("/") != own
    ]


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
