"""What is kept of a data set that was examined: enough to know it again without reading it
twice."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.contract.preprocessing import PercentileIntensity
from models.data.dataset import ClassList, Dataset, relative_name
from models.data.examination import Examination
from models.data.masks import FileMask, MaskEncoding
from models.data.preprocessing import Preprocessing, preprocessing_of
from models.data.sample_examination import SampleDigest


class SplitRecord(BaseModel):
    """One split. `pictures` and `masks` are digests of names and pixels, and of names and class
    ids.

    Of a split whose images alone were read, `masks` is None and there are no pixel counts.
    `class_pixels` are the pixels of each class, `image_pixels` all pixels with a class of the
    images that hold each class.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int
    pictures: str
    masks: str | None = None
    class_pixels: tuple[int, ...] = ()
    image_pixels: tuple[int, ...] = ()


class DatasetRecord(BaseModel):
    """A data set as it was when a run began.

    `files` changes when a file, the class list or the division does, at the price of a stat a file;
    the digests of the splits change only when what is in the files does. `learned` has the digest
    of each picture of train; `preprocessing` is None in runs of before there was any.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    class_list: ClassList
    channels: int
    files: str
    splits: dict[str, SplitRecord]
    learned: tuple[str, ...]
    preprocessing: Preprocessing | None = None

    def has_read(self, splits: Iterable[str]) -> bool:
        """Whether the masks of these splits were read too."""
        return all(name in self.splits and self.splits[name].masks for name in splits)

    @property
    def intensity(self) -> PercentileIntensity | None:
        """How the run reads pictures deeper than 8 bits."""
        return self.preprocessing.intensity if self.preprocessing else None

    def is_of(self, dataset: Dataset) -> bool:
        """Whether no file of the data set has changed since, so that it need not be read again."""
        return self.files == files_digest(dataset)

    def difference(self, other: "DatasetRecord", splits: Sequence[str]) -> str | None:
        """What of `other`, which has the same classes, is not as here, in words; None where these
        splits are the same."""
        if self.channels != other.channels:
            return f"its images have {other.channels} channels, and had {self.channels}"
        for name in splits:
            before, now = self.splits[name], other.splits[name]
            if before.images != now.images:
                return f"{name} has {now.images} images, and had {before.images}"
            for what in ("pictures", "masks"):
                if getattr(before, what) != getattr(now, what):
                    return f"the {what} of {name} are others, by name or by content"
        return None


def record_of(examination: Examination, scale: str = "auto") -> DatasetRecord:
    """The record of a data set that was examined and found without errors; `scale` is the
    recipe's. Raises DatasetError."""
    dataset = examination.dataset
    return DatasetRecord(
        class_list=dataset.class_list,
        channels=dataset.channels,
        files=files_digest(dataset),
        splits={name: split_record(examination, name) for name in dataset.splits},
        learned=tuple(sorted(picture_digests(examination.digests.get("train", ())))),
        preprocessing=preprocessing_of(examination, scale),
    )


def split_record(examination: Examination, split: str) -> SplitRecord:
    """The record of one split."""
    digests = examination.digests[split]
    pictures = _digest(f"{d.name}\0{d.picture}\n" for d in digests)
    if split not in examination.splits:
        return SplitRecord(images=len(digests), pictures=pictures)
    return SplitRecord(
        images=len(digests),
        pictures=pictures,
        masks=_digest(f"{d.name}\0{d.mask}\n" for d in digests),
        class_pixels=tuple(examination.class_pixels(split).tolist()),
        image_pixels=tuple(examination.image_pixels(split).tolist()),
    )


def picture_digests(digests: Iterable[SampleDigest]) -> set[str]:
    """The digests of the pictures that could be read."""
    return {digest.picture for digest in digests if digest.picture is not None}


def files_digest(dataset: Dataset) -> str:
    """One digest over the class list, the division and each file's path, size and times. Raises
    OSError."""
    states: dict[Path, str] = {}  # one file may hold many masks
    encodings: set[MaskEncoding] = set()

    def state(path: Path) -> str:
        if path not in states:
            status = path.stat()
            times = f"{status.st_mtime_ns}\0{status.st_ctime_ns}"
            states[path] = f"{relative_name(path, dataset.folder)}\0{status.st_size}\0{times}"
        return states[path]

    def lines() -> Iterable[str]:
        yield dataset.class_list.model_dump_json() + f"\n{dataset.channels}\n"
        for split, samples in dataset.splits.items():
            for sample in samples:
                if isinstance(sample.mask, FileMask):
                    encodings.add(sample.mask.encoding)
                masks = "\0".join(map(state, sample.mask.files))
                yield f"{split}\0{state(sample.image)}\0{masks}{sample.window or ''}\n"
        yield from sorted(map(repr, encodings))

    return _digest(lines())


def class_difference(own: Sequence[str], theirs: Sequence[str]) -> str | None:
    """How two lists of class names differ, in words; None where they are the same."""
    if len(own) != len(theirs):
        return (
            f"it has {len(theirs)} classes ({', '.join(theirs)}), and had {len(own)} "
            f"({', '.join(own)})"
        )
    for class_id, (before, now) in enumerate(zip(own, theirs, strict=True)):
        if before != now:
            return f"class {class_id} is {now!r}, and was {before!r}"
    return None


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
