"""What every way to write an artefact needs: its facts, its place, its error. No TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.contract import (
    Contract,
    Intensity,
    Overlap,
    Scale,
    SegmentationClass,
    Training,
    UserError,
    find_versions,
)

# Completes the contract of a folder that is not in its place yet, and its card.
Measure = Callable[[Path, Contract], Contract]


class ExportError(UserError):
    """The artefact cannot be written, or does not do what the network does; no folder was left
    behind."""


@dataclass(frozen=True)
class ModelFacts:
    """What the graph cannot say, and the network object cannot either."""

    name: str
    classes: tuple[SegmentationClass, ...]
    background: int | None
    ignore: int | None
    architecture: str
    upsampling: str
    training: Training | None
    scale: Scale | None = None
    intensity: Intensity | None = None
    overlap: Overlap | None = None


def version_folder(store: Path, name: str, version: int | None) -> Path:
    """`<store>/<name>/<version>`, which is not there yet; without a version, the next one. Raises
    ExportError."""
    model_folder = store / name
    there = find_versions(model_folder)
    version = there.next if version is None else version
    if version < 1:
        raise ExportError(f"--version {version}: versions begin at 1")
    target = model_folder / str(version)
    if version in there.folders or target.exists():
        there_already = there.folders.get(version, target)
        raise ExportError(
            f"{there_already} is there already; choose another --version or remove it"
        )
    return target
