"""An upload that is read as a raster: the network sees of it what it sees of a map's."""

from models.contract import Contract
from models.contract.working_size import WorkingSize
from service.domain.classes import void_id
from service.domain.errors import InvalidOptionError
from service.domain.requests import IntensityRequest, ScaleRequest
from service.domain.source import Window
from service.inference.prepare import Prepared
from service.inference.raster_view import View, find_tone, find_working_size
from service.inputs.raster_source import RasterSource


def plan_raster_size(
    source: RasterSource, contract: Contract, request: ScaleRequest
) -> WorkingSize | None:
    """At which size the network sees it; None for its own. Raises InvalidOptionError where it is
    to be enlarged, or no id is left for its voids.
    """
    refuse_void(source.has_void, contract)
    working, _ = find_working_size(source, contract, request)
    return working


def refuse_void(has_void: bool, contract: Contract) -> None:
    """Raises InvalidOptionError where there are pixels without a picture, and no id for them."""
    if has_void and void_id(contract) is None:
        raise InvalidOptionError(
            f"The raster has pixels without a picture, and {contract.name} has 256 classes and "
            "no id left for them. Take its nodata value or mask out."
        )


def prepare_raster(
    source: RasterSource,
    contract: Contract,
    working: WorkingSize | None,
    intensity: IntensityRequest,
) -> Prepared:
    """Decode it for a model. Blocks. Raises UnreadableImageError and InvalidOptionError."""
    with source.opened() as raster:
        tone = find_tone(raster, contract, intensity)
        view = View(raster, contract, tone, working)
        image = view.read(Window(0, 0, view.height, view.width))
        valid = view.valid(Window(0, 0, raster.height, raster.width))
    size = raster.height, raster.width
    return Prepared(*size, image, working, None, tone.window, valid)


def raster_bytes(source: RasterSource, working: WorkingSize | None, channels: int) -> int:
    """Of all forms in which it is held: its samples, twice as the network sees them where voids are
    filled, and where it is valid; with those of the file itself.
    """
    pixels = source.height * source.width
    samples = pixels * source.bands * source.sample_bytes
    seen = pixels * channels * (2 if source.has_void else 1)
    masks = 4 * pixels if source.has_void else 0
    small = 0 if working is None else working.height * working.width * channels
    return samples + seen + masks + small
