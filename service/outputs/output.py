"""What every output is made of: its options, and what it gives back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from models.contract import Contract
from service.domain.certainty import MinConfidence
from service.domain.errors import InvalidOptionError
from service.domain.requests import IntensityRequest, ScaleRequest, parse_bands
from service.domain.segmentation import Need, Segmentation, is_of_classes
from service.domain.source import SourceInfo
from service.outputs.project import Project

OverlapWriting = Literal["top", "each"] | None

_CHUNK_BYTES = 2**18  # smaller pieces are joined: each is a call of its own to whoever sends them


@dataclass(frozen=True)
class Encoded:
    """An answer written out, with the media type and the file extension (".png") that belong to it.

    It is kept in pieces, since one body of a large answer would hold it twice for a while.
    """

    chunks: tuple[bytes, ...]
    media_type: str
    extension: str

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))

    @property
    def body(self) -> bytes:
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)


def checked_by(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Keeps the text as it is, for the document of the API has no other type for it. Raises
    ValueError as `parse` does.
    """

    def check(text: str) -> str:
        parse(text)
        return text

    return check


class OutputOptions(BaseModel):
    """What a caller may choose, whatever the format; each format adds its own.

    One that answers in several media types has an option `media_type`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Names of the classes to keep, separated by commas; one that holds a comma goes in "
            "double quotes. All other pixels get the id of the "
            "model's background class, or its ignore id where it has no background."
        ),
        examples=["car,person"],
    )
    page: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Which picture of a file that holds several: the page of a TIFF, the frame of an "
            "animation, counted from 1. The main one if left out, which is nearly always the first."
        ),
        examples=[2],
    )
    scale: Annotated[str, AfterValidator(checked_by(ScaleRequest.parse))] = Field(
        default="auto",
        description=(
            "At which size the network sees the picture: `auto` is what the model was trained on, "
            "and never enlarges; `native` is the picture's own; a factor, or `longest=` and the "
            "longer side in pixels. The answer has the picture's own size all the same."
        ),
        examples=["native", "0.5", "longest=1024"],
    )
    intensity: Annotated[str, AfterValidator(checked_by(IntensityRequest.parse))] = Field(
        default="auto",
        description=(
            "How samples of more than 8 bits become 8: `auto` is the model's rule, `full` takes "
            "all values of their type, and two values become black and white. 8-bit samples stay "
            "as they are."
        ),
        examples=["full", "200,3000"],
    )

    min_confidence: Annotated[str, AfterValidator(checked_by(MinConfidence.parse))] | None = Field(
        default=None,
        description=(
            "Pixels whose class is less probable than this get the model's ignore id, or 255 where "
            "it has none: one number, one for each class by name, or `auto`, the operating points "
            "that the model keeps. It is compared in 8 bits, as `confidence` gives it."
        ),
        examples=["0.6", "car:0.5,road:0.8", "auto"],
    )

    augment: Literal["none", "flip"] = Field(
        default="none",
        description=(
            "`flip` runs the picture and its mirror image and takes the mean of both, which is a "
            "little better and takes more than twice as long."
        ),
        examples=["flip"],
    )

    @property
    def scale_request(self) -> ScaleRequest:
        return ScaleRequest.parse(self.scale)

    @property
    def intensity_request(self) -> IntensityRequest:
        return IntensityRequest.parse(self.intensity)

    # What becomes of classes that overlap: the one on top is written, or each for itself.
    overlap: ClassVar[OverlapWriting] = None

    @property
    def least_confidence(self) -> MinConfidence | None:
        return None if self.min_confidence is None else MinConfidence.parse(self.min_confidence)

    @property
    def need(self) -> Need:
        """What the engine must compute beyond which class wins."""
        need = self.format_need
        return "confidence" if is_of_classes(need) and self.min_confidence is not None else need

    @property
    def format_need(self) -> Need:
        """What the format shows beyond the class map."""
        return "class_map"

    def needed(self, contract: Contract) -> Need:
        """What the engine must compute of a model with this contract. Raises InvalidOptionError
        where its classes overlap, and the format has one class a pixel.
        """
        if contract.overlap is None:
            return self.need
        if self.overlap is None:
            raise InvalidOptionError(
                f"The classes of {contract.name} overlap, which this format cannot hold. Ask for "
                "masks, coco, polygons or npz with probabilities, or for png, which shows the one "
                "on top."
            )
        by_class = self.overlap == "each" or self.classes is not None
        return "probabilities" if by_class else self.need


class RasterOptions(OutputOptions):
    """Of formats that read the upload as a raster: where it lies, and where it has no picture."""

    bands: Annotated[str, AfterValidator(checked_by(parse_bands))] | None = Field(
        default=None,
        description=(
            "Which bands are red, green and blue, or which is gray, counted from 1; those that the "
            "file calls so if left out."
        ),
        examples=["4,3,2", "1"],
    )

    def check_place(self, info: SourceInfo) -> None:
        """Raises InvalidOptionError where the format needs a place on the ground and the raster has
        none.
        """


@dataclass(frozen=True)
class Output:
    """One row of the table of formats; `title` is what a page calls it.

    `extensions` has the file extension (".png") of each media type that it answers in, which is the
    first unless an option says otherwise. `encode` takes a Segmentation and an instance of
    `options`, and gives the answer in pieces; it is pure, and slow enough to belong on a worker.
    `project` says how the answers to a folder become what an annotation tool imports.
    """

    name: str
    title: str
    extensions: Mapping[str, str]
    options: type[OutputOptions]
    description: str
    encode: Callable[[Segmentation, Any], Iterable[bytes]]
    needs_image: bool = False
    project: Project | None = None

    @property
    def media_types(self) -> tuple[str, ...]:
        return tuple(self.extensions)

    def media_type(self, options: OutputOptions) -> str:
        """That of an answer with these options."""
        chosen: str = getattr(options, "media_type", self.media_types[0])
        return chosen

    def extension(self, options: OutputOptions) -> str:
        return self.extensions[self.media_type(options)]

    def write(self, segmentation: Segmentation, options: OutputOptions) -> Encoded:
        """Encode all of it."""
        chunks = tuple(_joined(self.encode(segmentation, options)))
        return Encoded(chunks, self.media_type(options), self.extension(options))


def _joined(pieces: Iterable[bytes]) -> Iterable[bytes]:
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)
