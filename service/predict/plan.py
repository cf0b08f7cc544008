"""What a job is to do: which pictures, where their answers go, what is done already, and what may
not be touched.

A picture is never written, and an answer never taken for a picture. An answer takes the place only
of one that `segserve predict` wrote and nobody has changed since.
"""

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from service.outputs.project import Project
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
_GRAVITY = ("done", "make", "kept", "refused")
ANOTHER_FOLDER = "give another folder with -o"
WORK_PREFIX = ".segserve-map-"  # of folders that hold what is done of a map


@dataclass(frozen=True)
class Step:
    """One image file, its path below the folder that was given, and where its answer goes; and a
    copy of it, for tools that want both.
    """

    source: Path
    target: Path
    name: str = ""
    copy: Path | None = None

    @property
    def targets(self) -> tuple[Path, ...]:
        """What it writes, the answer last."""
        return (self.target,) if self.copy is None else (self.copy, self.target)


@dataclass(frozen=True)
class Plan:
    """`done` are those whose answers are there; `faults` pairs a path with why nothing is done
    about it.
    """

    steps: tuple[Step, ...]
    done: tuple[Step, ...]
    faults: tuple[tuple[Path, str], ...]

    @property
    def skipped(self) -> int:
        return len(self.done)


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
    project: Project | None = None,
) -> Plan:
    """Look at the sources and at what is there of their answers. Raises PredictError."""
    found = find_pictures(sources, out, ledgers)
    steps = _steps(found.pictures, out, extension, project)
    refuse_sources_as_targets(steps)
    verdicts = [judge_step(step, recipe, ledgers, overwrite=overwrite) for step in steps]
    refused = [verdict.sentence for verdict in verdicts if verdict.kind == "refused"]
    if refused:
        more = f" The same holds for {len(refused) - 1} more." if len(refused) > 1 else ""
        raise PredictError(refused[0] + more)
    judged = list(zip(steps, verdicts, strict=True))
    kept = [(step.source, verdict.sentence) for step, verdict in judged if verdict.kind == "kept"]
    return Plan(
        tuple(step for step, verdict in judged if verdict is MAKE),
        tuple(step for step, verdict in judged if verdict is DONE),
        (*found.faults, *kept),
    )


def _steps(
    pictures: Sequence[tuple[Path, Path]], out: Path, extension: str, project: Project | None
) -> list[Step]:
    """Where the answers go. Raises PredictError where two pictures would share a place."""
    names = [relative.as_posix() for _, relative in pictures]
    folder = project.folder if project else ""
    if project is not None and project.answer_path is not None:
        targets = [project.answer_path(name) for name in names]
    else:
        targets = [posixpath.join(folder, name) for name in target_names(names, extension)]
    copy_path = project.picture_path if project else None
    copies = [None if copy_path is None else out / copy_path(name) for name in names]
    owner: dict[str, str] = {}
    for name, target in zip(names, targets, strict=True):
        other = owner.setdefault(target.casefold(), name)
        if other != name:
            raise PredictError(
                f"{other} and {name} would both be {target}, for the tool pairs pictures and "
                "annotations by such names; rename one, or give them in separate commands."
            )
    return [
        Step(path, out / target, name, copy)
        for (path, _), target, name, copy in zip(pictures, targets, names, copies, strict=True)
    ]


@dataclass
class Found:
    """Pictures with their paths below their source, each once."""

    pictures: list[tuple[Path, Path]] = field(default_factory=list)
    faults: Faults = field(default_factory=list)
    answers: int = 0


def find_pictures(sources: Sequence[Path], out: Path, ledgers: Ledgers) -> Found:
    """Raises PredictError."""
    found = Found()
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


def _search(source: Path, out: Path, ledgers: Ledgers, found: Found) -> None:
    """Take the pictures of a folder and of those below it."""
    at, to = source.resolve(), out.resolve()
    lies_in_answers = at != to and at.is_relative_to(to)

    def are_answers(folder: Folder) -> bool:
        if folder.path.name.startswith(WORK_PREFIX):
            return True
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


def _take(path: Path, relative: Path, ledgers: Ledgers, found: Found) -> None:
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


def refuse_sources_as_targets(steps: Sequence[Step]) -> None:
    sources = {_identity(step.source): step.source for step in steps}
    for step in steps:
        for target in step.targets:
            there = _identity(target)
            if there is not None and there in sources:
                what = "answer to" if target == step.target else "copy of"
                raise PredictError(
                    f"the {what} {step.source} would take the place of the picture "
                    f"{sources[there]}; give another folder with -o."
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """What all names of one file share; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def judge_step(step: Step, recipe: Recipe, ledgers: Ledgers, *, overwrite: bool) -> Verdict:
    """The gravest verdict on what it writes."""
    verdicts = [
        _judge(step, target, recipe, ledgers, overwrite=overwrite) for target in step.targets
    ]
    return max(verdicts, key=lambda verdict: _GRAVITY.index(verdict.kind))


def _judge(
    step: Step, target: Path, recipe: Recipe, ledgers: Ledgers, *, overwrite: bool
) -> Verdict:
    folder = target.parent
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
    return _judge_by_picture(step, target, note.source)


def _judge_by_picture(step: Step, target: Path, picture: Picture) -> Verdict:
    folder = target.parent
    try:
        if picture.is_still(step.source, folder):
            return DONE
    except OSError:
        return MAKE  # which tells what is wrong with it
    if picture.is_at(step.source, folder):
        return MAKE
    return Verdict(
        "refused",
        f"{target} is the answer to another picture than {step.source}; {ANOTHER_FOLDER}, "
        "or say --overwrite.",
    )
