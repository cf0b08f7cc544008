"""What a job is to do: which pictures, where their answers go, what is done already, and what may
not be touched.

A picture is never written, and an answer never taken for a picture. An answer takes the place only
of one that `segserve predict` wrote and nobody has changed since.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from service.predict.errors import PredictError
from service.predict.ledger import BULK_JOB, Ledger, Picture, Recipe
from service.predict.pictures import Folder, is_image, target_names, walk

Faults = list[tuple[Path, str]]


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is made, and the sentence why not: one that is kept is a fault, one that is
    refused ends the job.
    """

    kind: Literal["make", "done", "kept", "refused"]
    sentence: str = ""


MAKE, DONE = Verdict("make"), Verdict("done")
ANOTHER_FOLDER = "give another folder with -o"


@dataclass(frozen=True)
class Step:
    """One image file and where its answer goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """`faults` pairs a path with why nothing is done about it."""

    steps: tuple[Step, ...]
    skipped: int
    faults: tuple[tuple[Path, str], ...]


class Ledgers:
    """The ledgers of all folders that a job looks at, each read once."""

    def __init__(self) -> None:
        self._of: dict[Path, Ledger] = {}

    def of(self, folder: Path) -> Ledger:
        """Raises PredictError."""
        if folder not in self._of:
            self._of[folder] = self.read_again(folder)
        return self._of[folder]

    def read_again(self, folder: Path) -> Ledger:
        """As `of`, with what another process wrote since. Raises PredictError."""
        try:
            self._of[folder] = Ledger(folder)
        except OSError as error:
            raise PredictError(f"{error.filename} cannot be read: {error.strerror}.") from None
        return self._of[folder]


def plan(
    sources: Sequence[Path],
    out: Path,
    extension: str,
    recipe: Recipe,
    ledgers: Ledgers,
    *,
    overwrite: bool,
) -> Plan:
    """Look at the sources and at what is there of their answers. Raises PredictError."""
    found = _find(sources, out, ledgers)
    names = target_names([relative.as_posix() for _, relative in found.pictures], extension)
    steps = [Step(path, out / name) for (path, _), name in zip(found.pictures, names, strict=True)]
    _refuse_sources_as_targets(steps)
    verdicts = [_judge(step, recipe, ledgers, overwrite=overwrite) for step in steps]
    refused = [verdict.sentence for verdict in verdicts if verdict.kind == "refused"]
    if refused:
        more = f" The same holds for {len(refused) - 1} more." if len(refused) > 1 else ""
        raise PredictError(refused[0] + more)
    judged = list(zip(steps, verdicts, strict=True))
    kept = [(step.source, verdict.sentence) for step, verdict in judged if verdict.kind == "kept"]
    return Plan(
        tuple(step for step, verdict in judged if verdict is MAKE),
        verdicts.count(DONE),
        (*found.faults, *kept),
    )


@dataclass
class _Found:
    """Pictures with their paths below their source, each once."""

    pictures: list[tuple[Path, Path]] = field(default_factory=list)
    faults: Faults = field(default_factory=list)
    answers: int = 0


def _find(sources: Sequence[Path], out: Path, ledgers: Ledgers) -> _Found:
    found = _Found()
    for source in sources:
        if source.is_dir():
            _search(source, out, ledgers, found)
        elif source.is_file():
            _take(source, Path(source.name), ledgers, found)
        else:
            raise PredictError(f"there is no file or folder {source}.")
    found.pictures = list(dict.fromkeys(found.pictures))
    if not found.pictures and not found.faults:
        beside = " but answers of `segserve predict`" if found.answers else ""
        raise PredictError(f"there is no image in {', '.join(map(str, sources))}{beside}.")
    return found


def _search(source: Path, out: Path, ledgers: Ledgers, found: _Found) -> None:
    """Take the pictures of a folder and of those below it."""
    at, to = source.resolve(), out.resolve()
    lies_in_answers = at != to and at.is_relative_to(to)

    def are_answers(folder: Folder) -> bool:
        of_cluster = _is_of_cluster(folder)
        found.answers += of_cluster
        return of_cluster

    for folder in walk(source, are_answers):
        if folder.fault is not None:
            found.faults.append((folder.path, f"{folder.fault}."))
        before = len(found.pictures)
        for name in filter(is_image, folder.files):
            path = folder.path / name
            _take(path, path.relative_to(source), ledgers, found)
        strangers = found.pictures[before:]
        if strangers and not lies_in_answers and folder.path.resolve().is_relative_to(to):
            raise PredictError(_stranger(strangers[0][0], source, is_both=at == to))


def _is_of_cluster(folder: Folder) -> bool:
    """Whether a folder has the answers of a job on a cluster, which has its own ledger."""
    report = PurePath(BULK_JOB).parts[0]
    return report in folder.folders and (folder.path / BULK_JOB).is_file()


def _take(path: Path, relative: Path, ledgers: Ledgers, found: _Found) -> None:
    if ledgers.of(path.parent).knows(path.name):
        found.answers += 1
    else:
        found.pictures.append((path, relative))


def _stranger(path: Path, source: Path, *, is_both: bool) -> str:
    """What lies where the answers go may be a picture or an answer: nothing tells which."""
    if is_both:
        return (
            f"{source} cannot hold both the pictures and their answers; {ANOTHER_FOLDER}, such as "
            f"{source / 'masks'}."
        )
    return (
        f"{path} lies where the answers go and was not written by `segserve predict`, so it may "
        f"be a picture or not; {ANOTHER_FOLDER}."
    )


def _refuse_sources_as_targets(steps: Sequence[Step]) -> None:
    sources = {_identity(step.source): step.source for step in steps}
    for step in steps:
        there = _identity(step.target)
        if there is not None and there in sources:
            raise PredictError(
                f"the answer to {step.source} would take the place of the picture "
                f"{sources[there]}; give another folder with -o."
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """What all names of one file share; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _judge(step: Step, recipe: Recipe, ledgers: Ledgers, *, overwrite: bool) -> Verdict:
    target, folder = step.target, step.target.parent
    if not os.path.lexists(target):
        return MAKE
    ledger = ledgers.of(folder)
    if not ledger.knows(target.name):
        return Verdict(
            "refused",
            f"{target} was not written by `segserve predict` and stays; take it away, or "
            f"{ANOTHER_FOLDER}.",
        )
    try:
        note = ledger.note_on(target.name)
    except OSError as error:  # a link that leads nowhere
        return Verdict("kept", f"{target} cannot be read: {error.strerror}.")
    if note is None:
        return Verdict("kept", f"{target} was changed after it was written; take it away first.")
    if overwrite:
        return MAKE
    if note.recipe != recipe:
        return Verdict(
            "refused",
            f"{target} is {note.recipe.unlike(recipe)}; {ANOTHER_FOLDER}, or say --overwrite.",
        )
    return _judge_by_picture(step, note.source, folder)


def _judge_by_picture(step: Step, picture: Picture, folder: Path) -> Verdict:
    try:
        if picture.is_still(step.source, folder):
            return DONE
    except OSError:
        return MAKE  # which tells what is wrong with it
    if picture.is_at(step.source, folder):
        return MAKE
    return Verdict(
        "refused",
        f"{step.target} is the answer to another picture than {step.source}; {ANOTHER_FOLDER}, "
        "or say --overwrite.",
    )
