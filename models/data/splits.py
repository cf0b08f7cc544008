"""Dividing samples into train, val and test where the data does not say it: by hash, seed and
group."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.data.blocks import with_blocks
from models.data.dataset import DatasetError, Issue, Sample, relative_name
from models.data.layouts.layout import UNSPLIT
from models.data.options import SplitOptions

_SERIES = r"([^/]+?)[ _-]+[A-Za-z]*\d+\.\w+$"  # its name, and the number of an image
_LEAST_OF_A_SERIES = 4  # images, on average


def assign_groups(samples: Sequence[Sample], folder: Path, pattern: str | None) -> list[Sample]:
    """Give each sample its group: what `pattern` matches in its path below the folder (its
    brackets, if it has any)."""
    if pattern is None:
        return list(samples)
    found = []
    for sample in samples:
        match = re.search(pattern, relative_name(sample.image, folder))
        found.append(sample if match is None else replace(sample, group=_matched(match)))
    if all(sample.group is None for sample in found):
        raise DatasetError(
            f"the group pattern {pattern!r} matches no image, such as "
            f"{relative_name(samples[0].image, folder)}; fix it (--group of check, split.group of "
            "a recipe)"
        )
    return found


def split_samples(
    samples: Mapping[str, Sequence[Sample]], folder: Path, options: SplitOptions
) -> dict[str, tuple[Sample, ...]]:
    """The samples by split. Those without one are divided; a val or test that is missing is taken
    off train where there are groups enough. Without validation, val is a part of train.

    Raises DatasetError where the group pattern matches nothing.
    """
    splits = {
        name: assign_groups(entries, folder, options.group)
        for name, entries in samples.items()
        if name != UNSPLIT and entries
    }
    loose = assign_groups(
        samples.get(UNSPLIT, ()), folder, options.group if samples.get(UNSPLIT) else None
    )
    pool = [*splits.pop("train", []), *loose]
    wanted = {"val": options.fraction, "test": options.test}
    if not options.validation:
        pool += splits.pop("val", [])
        del wanted["val"]
    if options.group is None:
        pool = with_blocks(pool)
    shares = {name: share for name, share in wanted.items() if share and name not in splits}
    if pool and shares:
        splits |= _split_by_hash(pool, folder, shares, options.seed)
    elif pool:
        splits["train"] = pool
    return {name: tuple(splits[name]) for name in sorted(splits, key=_place)}


def groups_in_two_splits(splits: Mapping[str, Sequence[Sample]]) -> list[Issue]:
    """An error for each group whose samples the data's own splits tear apart."""
    seen: dict[str, set[str]] = {}
    for name, samples in splits.items():
        for sample in samples:
            if sample.group is not None:
                seen.setdefault(sample.group, set()).add(name)
    return [
        Issue(
            "error",
            "group in two splits",
            f"the group {group!r} has images in {' and '.join(sorted(names))}; put all of them "
            "into one split",
        )
        for group, names in sorted(seen.items())
        if len(names) > 1
    ]


def series_in_two_splits(
    splits: Mapping[str, Sequence[Sample]], folder: Path, options: SplitOptions
) -> list[Issue]:
    """A warning where splits that were drawn share what looks by names like a few series, such as
    two films of many frames.
    """
    if options.group is not None:
        return []
    series: dict[str, set[str]] = {}
    count = 0
    for name, samples in splits.items():
        for sample in samples:
            match = re.search(_SERIES, relative_name(sample.image, folder))
            if match is None:
                return []
            series.setdefault(match[1], set()).add(name)
            count += 1
    shared = sorted(key for key, names in series.items() if len(names) > 1)
    if not shared or not 2 <= len(series) <= count / _LEAST_OF_A_SERIES:
        return []
    text = (
        f"by their names the {count} images are of {len(series)} series, and splits share "
        f"{len(shared)} of them, such as {shared[0]!r}; where those are of one film, patient or "
        f"place, --group '{_SERIES}' keeps each in one split"
    )
    return [Issue("warning", "series in two splits", text)]


def _split_by_hash(
    pool: Sequence[Sample], folder: Path, shares: Mapping[str, float], seed: int
) -> dict[str, list[Sample]]:
    """Divide by hash: [0, share) is the first split's, and so on; the rest is train.

    A small pool could leave a split empty by chance. Groups of the next higher hashes then fill it
    to half its share.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in pool:
        groups.setdefault(sample.group or sample.name(folder), []).append(sample)
    if len(groups) <= len(shares):  # nothing can be taken off
        return {"train": list(pool)}
    waiting = sorted((_hash(key, seed), key) for key in groups)
    splits: dict[str, list[Sample]] = {}
    bound = 0.0
    for position, (name, share) in enumerate(shares.items()):
        bound += share
        least = math.ceil(share * len(pool) / 2)
        left_after = len(shares) - position  # a group for train, and one for each split to come
        chosen: list[Sample] = []
        while len(waiting) > left_after and (waiting[0][0] < bound or len(chosen) < least):
            chosen += groups[waiting.pop(0)[1]]
        splits[name] = chosen
    splits["train"] = [sample for _, key in waiting for sample in groups[key]]
    return {
        name: sorted(entries, key=lambda sample: sample.place) for name, entries in splits.items()
    }


def _place(name: str) -> tuple[int, str]:
    """train, val, test, then what else there is."""
    order = ("train", "val", "test")
    return (order.index(name) if name in order else len(order), name)


def _hash(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on the key and the seed alone."""
    digest = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _matched(match: re.Match[str]) -> str:
    parts = [part for part in match.groups() if part is not None]
    return "/".join(parts) if parts else match[0]
