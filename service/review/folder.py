"""The images of a folder."""

from pathlib import Path

from service.predict.errors import PredictError
from service.predict.pictures import is_image, walk

MAX_PICTURES = 100_000  # 300 MB of what is kept of each


def images_below(folder: Path) -> list[Path]:
    """Sorted. Raises PredictError where it cannot be read, or holds too many."""
    if not folder.is_dir():
        raise PredictError(f"there is no folder {folder}; name one with images.")
    found: list[Path] = []
    for place in walk(folder, lambda _: False):
        if place.fault is not None:
            raise PredictError(f"{place.path} cannot be read: {place.fault}.")
        found += [place.path / name for name in place.files if is_image(name)]
    if len(found) > MAX_PICTURES:
        raise PredictError(
            f"{folder} holds {len(found)} images, and at most {MAX_PICTURES} are taken at once; "
            "name a folder below it."
        )
    return sorted(found)
