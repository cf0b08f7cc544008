"""What is done for one file beside the engine: decoded, laid out for it, and written out. All of it
blocks.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.contract.intensity import IntensityWindow
from models.contract.typicality import picture_statistics
from models.contract.working_size import WorkingSize
from service.domain.certainty import leave_out_unsure, limits_of, with_ignore_id
from service.domain.classes import keep_classes, kept_ids
from service.domain.errors import InvalidOptionError
from service.domain.model import Model
from service.domain.observation import Observation, observe
from service.domain.segmentation import Need, Segmentation
from service.domain.source import Source, SourceInfo
from service.domain.temperature import Temperatures
from service.inference.answer import Answer, Timings
from service.inference.prepare import prepare
from service.inference.rasters import prepare_raster
from service.inference.runner import RunImage, TileSides
from service.inference.stopwatch import Stopwatch
from service.inference.tiling.canvas import Canvas, make_canvas
from service.inference.tiling.mirrored import MirrorCanvas, MirrorMean
from service.inference.tiling.plan import TilePlan
from service.inference.tiling.stitch import Maps
from service.inference.watching import SeenResult, Watcher, larger_need
from service.inputs.raster_source import RasterSource
from service.outputs.output import Encoded, Output, OutputOptions
from service.runtimes.engine import StageFacts


@dataclass(frozen=True)
class Picture:
    """A picture on its way: its tiles are cut from `image`, and their results put on `canvas`."""

    image: NDArray[np.uint8]
    plan: TilePlan
    canvas: Canvas


@dataclass(frozen=True)
class Result:
    """What the engine's results are put together in, and what an answer says beside it.

    `statistics` are those of the picture as the network sees it.
    """

    maps: Maps
    info: SourceInfo
    tiles: int
    blended: bool
    scale: float
    window: IntensityWindow | None
    shown: NDArray[np.uint8] | None
    type: str
    statistics: dict[str, float]


class FileWork:
    """For one file; each of its steps may be called on another thread. `watcher` sees the result
    of `upload`.

    Raises InvalidOptionError where `options` keep a class that the model does not have, its classes
    overlap and the format cannot say so, or it cannot obey the confidence that they say.
    """

    def __init__(
        self,
        model: Model,
        tile_sides: TileSides,
        output: Output,
        options: OutputOptions,
        file_name: str | None,
        upload: bytes | bytearray | memoryview,
        watcher: Watcher | None,
        temperatures: Temperatures | None = None,
        *,
        precision: str = "fp32",
        light_logits: bool = False,
    ) -> None:
        self.flips = options.augment == "flip"
        if self.flips and model.contract.overlap is not None:
            raise InvalidOptionError(
                f"The classes of {model.contract.name} overlap, of which no mean is taken. Leave "
                "`augment` out."
            )
        least = options.least_confidence
        self._model = model if least is None else with_ignore_id(model)
        self._limits = None if least is None else limits_of(least, model.contract, precision)
        self._temperatures, self._light_logits = temperatures, light_logits
        self._tile_sides = tile_sides
        self._output, self._options = output, options
        self._file_name = file_name
        self._upload, self._watcher = upload, watcher
        self._needed = self._settled(options.needed(model.contract))
        self.stages: StageFacts | None = None  # that it may be run in, if any
        self.need: Need = self._needed
        if watcher is not None and not light_logits:
            self.need = larger_need(self.need, watcher.need)
        self._captured: str | None = None
        self._kept = kept_ids(self._model.contract, options.classes)

    def _settled(self, need: Need) -> Need:
        """Means are said where they cost little: where there are logits, or both pictures' mean."""
        if need != "mean_confidence" or (self._light_logits and not self.flips):
            return need
        return "confidence" if self.flips else "class_map"

    def prepare(
        self, source: Source | RasterSource, working: WorkingSize | None
    ) -> tuple[list[Picture], Result]:
        """Decode, and lay out for the engine: the picture, and its mirror image where that is asked
        for. Raises UnreadableImageError.
        """
        contract, need = self._model.contract, self.need
        intensity, show = self._options.intensity_request, self._output.needs_image
        if isinstance(source, RasterSource):
            prepared = prepare_raster(source, contract, working, intensity)
        else:
            prepared = prepare(source, contract, working, intensity, show=show)
        working = prepared.working
        height, width = prepared.image.shape[:2]
        scaled = working is not None
        if self.flips:  # both give probabilities
            need, scaled = "probabilities", False
        plan = self._tile_sides.plan(
            contract, height, width, need, scaled=scaled, stages=self.stages
        )
        maps = Maps.empty((prepared.height, prepared.width), self.need, len(contract.classes))
        result = Result(
            maps=maps,
            info=replace(source.info, file_name=self._file_name, valid=prepared.valid),
            tiles=len(plan),
            blended=plan.blended,
            scale=1.0 if working is None else working.scale,
            window=prepared.window,
            shown=prepared.shown,
            type=source.type,
            statistics=picture_statistics(prepared.image),
        )
        return self._pictures(prepared.image, plan, maps, working), result

    def _pictures(
        self, image: NDArray[np.uint8], plan: TilePlan, maps: Maps, working: WorkingSize | None
    ) -> list[Picture]:
        contract = self._model.contract
        if self.flips:
            classes = len(contract.classes)
            mean = MirrorMean(plan, maps, working, classes, self._temperatures)
            sides = (image, np.ascontiguousarray(image[:, ::-1]))
            return [Picture(one, plan, MirrorCanvas(mean, n)) for n, one in enumerate(sides)]
        canvas = make_canvas(
            plan,
            maps,
            self.need,
            contract,
            working,
            self._temperatures,
            light_logits=self._light_logits,
        )
        return [Picture(image, plan, canvas)]

    def write(self, result: Result) -> tuple[Encoded, Observation]:
        """Encode what is put together."""
        maps = result.maps
        observation = observe_maps(self._model, result.statistics, maps)
        if self._watcher is not None:
            self._captured = self._watcher.see(self._seen(result, observation))
        if self._limits is not None and maps.confidence is not None:
            ignore = self._model.contract.ignore
            assert ignore is not None  # the model has one, or was given one
            leave_out_unsure(maps.class_map, maps.confidence, self._limits, ignore)
        keep_classes(
            self._model.contract, self._kept, maps.class_map, maps.confidence, maps.probabilities
        )
        segmentation = Segmentation(
            self._model,
            maps.class_map,
            None if self._needed == "class_map" else maps.confidence,
            maps.probabilities,
            result.shown,
            result.blended,
            result.info,
            result.scale,
            result.window,
            maps.uncertainty,
            observation,
        )
        return self._output.write(segmentation, self._options), observation

    def _seen(self, result: Result, observation: Observation) -> SeenResult:
        return SeenResult(
            self._model,
            self._upload,
            result.type,
            result.info,
            self._options.scale,
            self._options.intensity,
            result.maps.class_map,
            observation,
        )

    def run_alone(
        self,
        source: Source | RasterSource,
        working: WorkingSize | None,
        watch: Stopwatch,
        run_image: RunImage,
    ) -> tuple[Result, Encoded, Observation]:
        """All of it, for a picture that is run whole. Raises UnreadableImageError, and as
        `run_image`.
        """
        (picture,), result = watch.run_here("decode", self.prepare, source, working)
        (tile,) = picture.plan
        image, shape = picture.plan.cut(picture.image, tile), picture.plan.tile_shape
        of_tile = watch.run_here("infer", run_image, picture.canvas.signature, image, shape)

        def write() -> tuple[Encoded, Observation]:
            picture.canvas.put(tile, of_tile)
            return self.write(result)

        return result, *watch.run_here("encode", write)

    def answer(
        self, result: Result, encoded: Encoded, observation: Observation, timings: Timings
    ) -> Answer:
        height, width = result.maps.class_map.shape
        return Answer(
            model_id=self._model.id,
            encoded=encoded,
            timings=timings,
            tiles=result.tiles,
            blended=result.blended,
            width=width,
            height=height,
            observation=observation,
            page=result.info.page,
            pages=result.info.pages,
            scale=result.scale,
            window=result.window,
            captured=self._captured,
        )


def observe_maps(model: Model, statistics: dict[str, float], maps: Maps) -> Observation:
    """What is found of one picture whose maps are complete."""
    if maps.confidence is not None and maps.sampled.mean is None:
        maps.sampled.add_confidence(maps.confidence)
    return observe(model.contract, statistics, maps.class_map, maps.sampled)
