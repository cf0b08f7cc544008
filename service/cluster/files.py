"""Folders on a disk or in an object store, by one interface: pyarrow's, and fsspec's for what that does not know."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pyarrow as pa
from pyarrow import fs

from service.cluster.errors import ClusterError

# Stores in which an object is there when all of it is. Elsewhere a file is written beside and renamed.
_WHOLE_OR_NOT_THERE = ("s3", "gcs", "abfs")


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
            try:
                filesystem, path = fs.FileSystem.from_uri(uri)
            except pa.ArrowInvalid:  # a scheme that pyarrow does not know
                other, path = fsspec.core.url_to_fs(uri)
                filesystem = fs.PyFileSystem(fs.FSSpecHandler(other))
        except (ValueError, ImportError, OSError) as error:
            raise ClusterError(f"{uri} cannot be opened: {error}") from None
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
        if self.filesystem.type_name in _WHOLE_OR_NOT_THERE:
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
        selector = fs.FileSelector(self._at(relative), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        files = sorted(info.base_name for info in found if info.type == fs.FileType.File)
        folders = sorted(info.base_name for info in found if info.type == fs.FileType.Directory)
        return files, folders
