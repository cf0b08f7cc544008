"""What any layout's samples gain by lying on the ground: large scenes are read in parts, and where
there is no picture there is nothing to learn."""

from collections.abc import Iterator
from dataclasses import replace

from models.data.dataset import Sample
from models.data.layouts.geo import with_ignore
from models.data.layouts.ground_labels import RasterMask, read_label_raster
from models.data.layouts.layout import ParsedLayout
from models.data.masks import FileMask
from models.data.scenes import Scene, has_picture, read_scene, windows_of

_PLAIN = ((1,), (1, 2, 3))


def place_on_ground(found: ParsedLayout) -> None:
    """Cut samples of large scenes into parts, mark those that have void, and leave out parts that
    are void all over."""
    has_void = False
    for split, samples in found.samples.items():
        placed: list[Sample] = []
        for sample in samples:
            scene = _scene(sample)
            has_void |= scene is not None and scene.has_void
            placed += [sample] if scene is None else _placed(sample, scene)
        found.samples[split] = placed
    if has_void:
        found.class_list = with_ignore(found.class_list)


def _scene(sample: Sample) -> Scene | None:
    try:
        return read_scene(sample.image)
    except (ValueError, OSError):
        return None  # which is told of where it is read


def _placed(sample: Sample, scene: Scene) -> Iterator[Sample]:
    if sample.window is None:
        parts = _cut(sample, scene)
        if parts is not None:
            yield from parts
            return
        if scene.has_void or scene.indexes not in _PLAIN:
            sample = replace(sample, window=scene.whole)
    if sample.window is None or has_picture(scene, sample.window):
        yield sample


def _cut(sample: Sample, scene: Scene) -> list[Sample] | None:
    """The parts of a large scene whose mask is a raster of its grid; None for another."""
    windows = list(windows_of(scene))
    if len(windows) == 1 or not isinstance(sample.mask, FileMask) or sample.mask.parts:
        return None
    raster = read_label_raster(sample.mask.path)
    if raster is None or raster.crs != scene.crs:
        return None
    if raster.grid != (scene.height, scene.width, *tuple(scene.transform)[:6]):
        return None
    return [
        replace(
            sample,
            window=window,
            mask=RasterMask(raster.path, scene, window, (raster,), sample.mask.encoding),
        )
        for window in windows
        if has_picture(scene, window)
    ]
