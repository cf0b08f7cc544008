"""Label Studio's exports JSON and JSON_MIN: a list of tasks, beside the images they are of.

Of several annotations of a task the one marked as ground truth counts, else the newest; cancelled
ones, predictions and drafts never do. Of a task's regions a later one lies on top.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from models.data.dataset import IMAGE_SUFFIXES, DatasetError
from models.data.files import files_below
from models.data.layouts.annotated import (
    FAULTY,
    AnnotatedPicture,
    Annotations,
    Shape,
    as_layout,
    split_of,
)
from models.data.layouts.image_index import ImageIndex
from models.data.layouts.json_files import load_json, mentions
from models.data.layouts.labelstudio_results import (
    has_area,
    place_of,
    regions_of,
    shape_of,
    size_of,
)
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    ParsedLayout,
    fault_text,
    images_below,
    json_object,
)
from models.data.names import counted
from models.data.options import LayoutOptions

_TOOL = "Label Studio"
_FINISHED = ("annotations", "completions")  # the second is the name of old
_UNFINISHED = "tasks without a finished annotation, left out: {count}"
_NO_AREA = "results that cover no pixels, such as key points and answers, left out: {count}"


@dataclass(frozen=True)
class _Task:
    """One picture's finished annotation: how a sentence names it, the names that its image may
    have, and the results that draw on it."""

    name: str
    images: tuple[str, ...]
    results: tuple[Mapping[str, Any], ...]


def parse_labelstudio(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read every export in the folder. Raises DatasetError where the classes cannot be known."""
    exports = [
        path
        for path in files_below(folder)
        if path.suffix.lower() == ".json" and _looks_like_export(path)
    ]
    reader = _Reader(folder, Annotations(), ImageIndex(images_below(folder) if exports else ()))
    is_export = [reader.read(path) for path in exports]
    if not any(is_export):
        return None
    return as_layout(reader.annotations, folder, options, _TOOL)


def _looks_like_export(path: Path) -> bool:
    if mentions(path, "annotation_id", "original_width"):
        return True
    return any(mentions(path, "data", finished) for finished in _FINISHED)


def _is_full(entry: Mapping[str, Any]) -> bool:
    """Whether it is a task of the export JSON."""
    return isinstance(entry.get("data"), dict) and any(
        isinstance(entry.get(finished), list) for finished in _FINISHED
    )


def _is_minimal(entry: Mapping[str, Any]) -> bool:
    """Whether it is a task of the export JSON_MIN."""
    return {"id", "annotation_id"} <= entry.keys() and "data" not in entry


class _Reader:
    """Adds the pictures of exports to `annotations`."""

    def __init__(self, folder: Path, annotations: Annotations, index: ImageIndex) -> None:
        self.annotations = annotations
        self._folder = folder
        self._index = index

    def read(self, path: Path) -> bool:
        """Whether the file is an export."""
        try:
            document = load_json(path)
        except DatasetError as error:
            self.annotations.error(FAULTY, str(error))
            return True
        entries = document if isinstance(document, list) else [document]
        tasks = [entry for entry in entries if isinstance(entry, dict)]
        if not any(_is_full(task) or _is_minimal(task) for task in tasks):
            return False
        for task in self._tasks(path, entries):
            if image := self._image(path, task):
                self._add(path, task, image)
        return True

    def _tasks(self, path: Path, entries: Sequence[Any]) -> Iterator[_Task]:
        """The tasks with an annotation that counts."""
        annotations_of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        task_of: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(entries):
            try:
                task = json_object(entry)
                key = str(task["id"])
                task_of[key] = task
                annotations_of[key] += _annotations(task)
            except ENTRY_FAULTS as error:
                self._fault(path, f"entry {number}", error)
        several = 0
        for key, task in task_of.items():
            images = _image_names(task)
            finished = annotations_of[key]
            several += len(finished) > 1
            if not finished:
                self.annotations.leave_out(_UNFINISHED)
                self._note_listed(images)
                continue
            chosen = max(finished, key=_rank)
            yield _Task(f"task {key}", images, tuple(chosen["result"]))
        if several:
            self.annotations.warning(
                "several annotations",
                f"{path}: {counted(several, 'task')} with several annotations; of each the one "
                "that is marked as ground truth is read, else the newest (JSON_MIN does not tell "
                "which is marked)",
            )

    def _image(self, path: Path, task: _Task) -> Path | None:
        """The image's file; None, and an error, where it is nowhere or may be several."""
        matches = {
            match.images: match for name in task.images if (match := self._index.named(name))
        }
        found = [match for match in matches.values() if match.images]
        if len(found) == 1 and (only := found[0].only):
            return only
        named = ", ".join(name[:100] for name in task.images) or "no image file"
        if found:
            files = " and ".join(str(image) for match in found for image in match.images)
            self.annotations.error(
                "two images",
                f"{path}: {task.name} names {named}, and {files} may be meant; take out what is "
                "not",
            )
        else:
            self.annotations.error(
                "no image",
                f"{path}: {task.name} names {named}, which is not in {self._folder}; put the "
                "project's images there, under the names they were uploaded with (nothing is "
                "fetched)",
            )
        return None

    def _add(self, path: Path, task: _Task, image: Path) -> None:
        size, shapes, targets = None, list[Shape](), set[Any]()
        sound = True
        for region in regions_of(task.results):
            place = f"{task.name}, {region['name']}"
            if not has_area(region):
                self.annotations.leave_out(_NO_AREA)
                continue
            try:
                own = size_of(region)
                if size not in (None, own):
                    raise ValueError(f"its picture is {own[0]}×{own[1]}, and others' is not")
                targets.add((region.get("to_name"), region.get("item_index")))
                if len(targets) > 1:
                    raise ValueError("it is of another image of the task; give each a task")
                size = own
                shapes.append(shape_of(region, size))
            except ENTRY_FAULTS as error:
                sound = False
                self._fault(path, place, error)
        if sound:
            split = split_of(image, self._folder)
            self.annotations.pictures.append(
                AnnotatedPicture(path, image, size, tuple(shapes), split)
            )

    def _note_listed(self, images: Sequence[str]) -> None:
        for name in images:
            self.annotations.listed += self._index.named(name).images

    def _fault(self, path: Path, place: str, error: Exception) -> None:
        self.annotations.error(
            FAULTY, f"{path}: {place} is not as Label Studio writes it ({fault_text(error)})"
        )


def _annotations(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The finished annotations of a task, those that were not cancelled. Raises ENTRY_FAULTS."""
    if _is_minimal(task):
        return [] if task["annotation_id"] is None else [{**task, "result": _results(task)}]
    finished = next((task[name] for name in _FINISHED if name in task), None)
    if not isinstance(finished, list):
        raise TypeError("it has no list of annotations")
    found: list[Mapping[str, Any]] = []
    for entry in finished:
        annotation = json_object(entry)
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        results = annotation.get("result") or []
        if not isinstance(results, list):
            raise TypeError("the result of an annotation is not a list")
        found.append({**annotation, "result": [json_object(result) for result in results]})
    return found


def _results(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The results of a task of JSON_MIN, where a member is a tag's and holds its values. These have
    no ids: what has one place is one region."""
    return [
        {"value": value, **value, "id": place_of(value), "to_name": None}
        for member in task.values()
        if isinstance(member, list)
        for value in member
        if isinstance(value, dict)
    ]


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str, int]:
    """Ground truth before what is none, the newer before the older. Dates are ISO 8601, all of one
    time zone."""
    date = str(annotation.get("updated_at") or annotation.get("created_at") or "")
    key = annotation.get("annotation_id", annotation.get("id"))
    return annotation.get("ground_truth") is True, date, key if isinstance(key, int) else 0


def _image_names(task: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that a task gives to its image; none where it names none."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    named = {
        key: str(value)
        for key, value in data.items()
        if isinstance(value, str) and _is_image_name(value)
    }
    if "image" in named:
        return (named["image"],)
    return tuple(dict.fromkeys(named.values()))


def _is_image_name(value: str) -> bool:
    parts = urlsplit(value) if len(value) < 2**14 else urlsplit("")
    query = parse_qs(parts.query)
    held = [parts.path, *query.get("d", ()), *query.get("filepath", ())]
    return any(PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES for path in held)
