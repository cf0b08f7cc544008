"""The folder of models: `<store>/<name>/<version>/`, as TensorFlow Serving lays it out."""

import hashlib
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.contract import (
    CONTRACT_PATH,
    MODEL_CARD_PATH,
    Contract,
    ContractError,
    Versions,
    find_versions,
    looks_like_number,
    read_contract,
    verify_files,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_GRAPH = "saved_model.pb"

# Whoever sends a photograph to the bundled models has more likely a street in it than cell nuclei.
FIRST_CHOICE = "street"


def default_of(names: Collection[str]) -> str | None:
    """The model of requests that name none: `FIRST_CHOICE` where it is among `names`, else the
    first of them.
    """
    return FIRST_CHOICE if FIRST_CHOICE in names else min(names, default=None)


@dataclass(frozen=True)
class Selector:
    """A model by name: its newest version, or the one that is pinned."""

    name: str
    version: int | None = None

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> "Selector":
        """Read "street" or "street/2". Raises ValueError."""
        name, slash, version = text.partition("/")
        if not _NAME.fullmatch(name) or (slash and not _VERSION.fullmatch(version)):
            raise ValueError(
                f"{text[:80]!r} names no model; write a name such as street, or a version of it: "
                "street/2"
            )
        return cls(name, int(version) if slash else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Artefact:
    """One version as it lies on disk. `fingerprint` changes when a file of it does, at the price of
    a stat a file.
    """

    name: str
    version: int
    path: Path
    fingerprint: str
    size_bytes: int

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Found:
    """What a store holds.

    `models` maps a name to its versions, `unreadable` the folder of a model to why it cannot be
    read now. `passed_over` has a sentence for each folder that looks like a version and is none.
    """

    models: Mapping[str, Mapping[int, Artefact]]
    unreadable: Mapping[str, str]
    passed_over: tuple[str, ...] = ()


def scan(store: Path) -> Found:
    """Look at every version of every model. Raises OSError where the store cannot be read."""
    models: dict[str, dict[int, Artefact]] = {}
    unreadable: dict[str, str] = {}
    passed_over: list[str] = []
    for folder in sorted(store.iterdir()):
        try:
            if folder.is_dir() and not folder.name.startswith("."):
                artefacts = _artefacts_in(folder)
                passed_over += _passed_over_in(folder)
                if artefacts:
                    models[folder.name] = artefacts
        except OSError as error:  # the others can be served all the same
            unreadable[folder.name] = error.strerror or type(error).__name__
    return Found(models, unreadable, tuple(passed_over))


def complaints(store: Path, found: Found) -> list[str]:
    """What is wrong with the store, in sentences without a full stop. Raises OSError."""
    sentences = [
        f"the folder {name} of the model store cannot be read ({reason})"
        for name, reason in found.unreadable.items()
    ]
    sentences += found.passed_over
    if not found.models and not sentences:
        sentences.append(_why_empty(store.resolve()))
    return sentences


def fingerprint_of(path: Path) -> tuple[str, int]:
    """The fingerprint of the folder and the sum of its files' bytes."""
    digest = hashlib.sha256()
    size_bytes = 0
    for file in sorted(path.rglob("*")):
        try:
            status = file.stat()
        except OSError:
            continue  # it went away between the listing and now: the next look sees that
        if stat.S_ISREG(status.st_mode):
            digest.update(
                f"{file.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
            )
            size_bytes += status.st_size
    return digest.hexdigest(), size_bytes


def read_artefact(artefact: Artefact) -> tuple[Contract, str | None]:
    """The contract and the text of the model card. Raises ContractError where they do not fit the
    folder.
    """
    contract = read_contract(artefact.path)
    if contract.name != artefact.name:
        raise ContractError(
            f"the contract is for {contract.name!r} and the folder is named {artefact.name!r}; "
            "rename the folder"
        )
    card = artefact.path / MODEL_CARD_PATH
    try:
        return contract, card.read_text()
    except FileNotFoundError:
        return contract, None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{MODEL_CARD_PATH} cannot be read; copy the folder again") from error


def read_verified(artefact: Artefact) -> tuple[Contract, str | None]:
    """As `read_artefact`, with each file's digest compared. Takes as long as reading all files
    does.
    """
    contract, card = read_artefact(artefact)
    verify_files(artefact.path, contract)
    return contract, card


def _artefacts_in(folder: Path) -> dict[int, Artefact]:
    if not _NAME.fullmatch(folder.name):
        return {}
    folders = find_versions(folder).folders
    return {version: _look_at(folder.name, version, path) for version, path in folders.items()}


def _look_at(name: str, version: int, path: Path) -> Artefact:
    fingerprint, size_bytes = fingerprint_of(path)
    return Artefact(name, version, path, fingerprint, size_bytes)


def _passed_over_in(folder: Path) -> Iterator[str]:
    """A sentence for each version of `folder` that nobody can ask for by its name."""
    if _NAME.fullmatch(folder.name):
        versions = find_versions(folder)
        yield from versions.faults
        yield from _models_at_no_version(folder, versions)
        return
    for path in filter(_looks_like_version, _folders_in(folder)):
        yield (
            f"{folder.name}/{path.name} is passed over: a model's name has letters, digits, "
            "_, . and - alone, and at most 64 of them; rename the folder, and export the model "
            "under that name"
        )


def _models_at_no_version(folder: Path, versions: Versions) -> Iterator[str]:
    """A sentence for each model that lies where a version is to be, or in none."""
    if _looks_like_version(folder) and not looks_like_number(folder.name):
        yield f"{folder.name} has a model's files and no version; move them into {folder.name}/1"
    known = {path.resolve() for path in versions.folders.values()}  # what a link called latest is
    for path in _folders_in(folder):
        is_other = not looks_like_number(path.name) and path.resolve() not in known
        if is_other and _looks_like_version(path):
            yield (
                f"{folder.name}/{path.name} holds a model and is not a version: versions are whole "
                "numbers from 1 on; rename the folder"
            )


def _why_empty(store: Path) -> str:
    """What the folder is in place of a store, and which is."""
    if _looks_like_version(store):
        return f"{store} is one version of a model, not a store; the store is {store.parent.parent}"
    folders = _folders_in(store)
    if any(_looks_like_version(folder) for folder in folders):
        return f"{store} is the folder of one model, not a store; the store is {store.parent}"
    for folder in folders:
        if any(
            _looks_like_version(path) for name in _folders_in(folder) for path in _folders_in(name)
        ):
            return f"{store} holds no model, but {folder} does; that is the store"
    return (
        f"{store} holds no model; a store holds <name>/<version>/ folders, as "
        "`segtrain export --store` makes them"
    )


def _looks_like_version(path: Path) -> bool:
    return (path / CONTRACT_PATH).is_file() or (path / _GRAPH).is_file()


def _folders_in(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
