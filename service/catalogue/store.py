"""The folder of models: `<store>/<name>/<version>/`, as TensorFlow Serving lays it out."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from models.contract import (
    MODEL_CARD_PATH,
    Contract,
    ContractError,
    read_contract,
    verify_files,
    versions,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_VERSION_DIGITS = 18

# Whoever sends a photograph to the bundled models has more likely a street in it than cell nuclei.
FIRST_CHOICE = "street"


def default_of(names: Collection[str]) -> str | None:
    """The model of requests that name none: `FIRST_CHOICE` where it is among `names`, else the first of them."""
    return FIRST_CHOICE if FIRST_CHOICE in names else min(names, default=None)


@dataclass(frozen=True)
class Selector:
    """A model by name: its newest version, or the one that is pinned."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Read "street" or "street/2". Raises ValueError."""
        name, slash, version = text.partition("/")
        is_version = (
            version.isascii() and version.isdecimal() and len(version) <= _MAX_VERSION_DIGITS
        )
        if not _NAME.fullmatch(name) or (slash and not is_version):
            raise ValueError(
                f"{text!r} names no model; write a name such as street, or a version of it: street/2"
            )
        return cls(name, int(version) if slash else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Artefact:
    """One version as it lies on disk. `fingerprint` changes when a file of it does, at the price of a stat a file."""

    name: str
    version: int
    path: Path
    fingerprint: str
    size_bytes: int

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"


def scan(store: Path) -> dict[str, dict[int, Artefact]]:
    """Map each model's name to its versions. Raises OSError where the store cannot be read."""
    found = {}
    for folder in sorted(store.iterdir()):
        if folder.is_dir() and _NAME.fullmatch(folder.name):
            artefacts = {version: _look_at(folder, version) for version in versions(folder)}
            if artefacts:
                found[folder.name] = artefacts
    return found


def fingerprint_of(path: Path) -> tuple[str, int]:
    """The fingerprint of the folder and the sum of its files' bytes."""
    digest = hashlib.sha256()
    size_bytes = 0
    for file in sorted(path.rglob("*")):
        try:
            status = file.stat()
        except OSError:
            continue  # it went away between the listing and now: the next look sees that
        if file.is_file():
            digest.update(
                f"{file.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
            )
            size_bytes += status.st_size
    return digest.hexdigest(), size_bytes


def read_artefact(artefact: Artefact) -> tuple[Contract, str | None]:
    """The contract and the text of the model card. Raises ContractError where they do not fit the folder."""
    contract = read_contract(artefact.path)
    if contract.name != artefact.name:
        raise ContractError(
            f"the contract is for {contract.name!r} and the folder is named {artefact.name!r}; rename the folder"
        )
    card = artefact.path / MODEL_CARD_PATH
    try:
        return contract, card.read_text()
    except FileNotFoundError:
        return contract, None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{MODEL_CARD_PATH} cannot be read; copy the folder again") from error


def read_verified(artefact: Artefact) -> tuple[Contract, str | None]:
    """As `read_artefact`, with each file's digest compared. Takes as long as reading all files does."""
    contract, card = read_artefact(artefact)
    verify_files(artefact.path, contract)
    return contract, card


def _look_at(folder: Path, version: int) -> Artefact:
    path = folder / str(version)
    fingerprint, size_bytes = fingerprint_of(path)
    return Artefact(folder.name, version, path, fingerprint, size_bytes)
