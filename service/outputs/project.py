"""The answers to a folder of pictures as one thing that an annotation tool imports."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from models.contract import Contract, SegmentationClass

BACKGROUND = "background"
# Of answers that are parts of a file of all. It is hidden, or whoever reads the folder would find
# each picture twice.
PARTS = ".segserve-parts"


@dataclass(frozen=True)
class Member:
    """One picture: its path below the folder, with /, and its answer's bytes."""

    name: str
    read: Callable[[], bytes]


# From the contract, an instance of the output's options, and the members in their order. It is
# given at least one.
ProjectFile: TypeAlias = Callable[[Contract, Any, Iterable[Member]], Iterator[bytes]]


@dataclass(frozen=True)
class Project:
    """Where everything lies, by paths below the folder of the answers.

    An answer lies in `folder` and is named as its picture, or where `answer_path` says by the
    picture's path. `picture_path` says where a copy of the picture lies, None where the tool wants
    none. `files` are what holds or describes them all, written last: without them there is nothing
    to import.
    """

    files: Mapping[str, ProjectFile]
    folder: str = ""
    answer_path: Callable[[str], str] | None = None
    picture_path: Callable[[str], str] | None = None


def drawn_classes(contract: Contract) -> Sequence[SegmentationClass]:
    """The classes that tools draw: all but one called background, which is what nothing covers."""
    return [
        one
        for one in contract.classes
        if one.id != contract.background or one.name.casefold() != BACKGROUND
    ]
