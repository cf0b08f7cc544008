"""What an artefact promises, beyond what its graph can say: format 2 of
`assets.extra/contract.json` (docs/artefact.md).

`<store>/<name>/<version>/` is TensorFlow Serving's layout; our own facts lie in `assets.extra/`,
which other servers ignore. The contract is written last and the folder appears by one rename, so a
reader sees a whole artefact or none.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from models.contract.errors import UserError
from models.contract.facts import (
    Calibration,
    Facts,
    ModelIO,
    OperatingPoint,
    Overlap,
    Reference,
    StoredPrecision,
)
from models.contract.faults import first_fault
from models.contract.preprocessing import Intensity, Scale

FORMAT_VERSION: Final = 2
CONTRACT_PATH = Path("assets.extra/contract.json")
MODEL_CARD_PATH = Path("assets.extra/model_card.md")
RECIPE_PATH = Path("assets.extra/recipe.toml")  # of a model that segtrain trained
SAVED_MODEL_PATH = Path("saved_model.pb")
OPENVINO_PATH = Path("assets.extra/openvino")
ONNX_PATH = Path("assets.extra/onnx")
LITERT_PATH = Path("assets.extra/litert")

ClassId = Annotated[int, Field(ge=0, le=255)]
Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

STORED_PRECISIONS: Final[tuple[StoredPrecision, ...]] = ("fp32", "int8")

# The outputs of an OpenVINO file, in this order: class ids uint8 (N, H, W), softmax float32 (N, H,
# W, classes).
OPENVINO_OUTPUTS: Final = ("class_map", "probabilities")


class ContractError(UserError):
    """The folder is not an artefact, or not the one its contract describes. The text says which
    file, and what to do."""


class SegmentationClass(Facts):
    """One class: its id is the pixel value in a class map, its colour the palette entry
    (`#rrggbb`)."""

    id: ClassId
    name: Annotated[str, Field(min_length=1)]
    color: Color

    @property
    def rgb(self) -> tuple[int, int, int]:
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


class Training(Facts):
    """Where the weights come from. `scores` maps a split to its scores, each a fraction in [0,
    1]."""

    dataset: str
    licence: str
    source: str
    split_sizes: dict[str, int]
    seed: int
    epochs: int
    minutes: float
    finished: date
    scores: dict[str, dict[str, float]]


class Quantization(Facts):
    """How the int8 files were made, and what they score beside the floating-point ones on the same
    split.

    Both maps go from split to scores, each a fraction in [0, 1]. `kept_float` names the layers left
    in floating point.
    """

    calibration_images: Annotated[int, Field(ge=1)]
    kept_float: tuple[str, ...]
    scores: dict[str, dict[str, float]]
    float_scores: dict[str, dict[str, float]]


class Contract(Facts):
    """The facts of one artefact, `assets.extra/contract.json`.

    `receptive_field_radius` is the distance in pixels beyond which the input cannot change an
    output pixel, or None where the network has global context. `files` maps each other file's path
    to its SHA-256; which runtime takes a file its path says (`runtimes`). Of what format 2 added,
    None is what format 1 meant: `scale` pixels as they are, `intensity` the upper 8 bits,
    `calibration` none, `reference` not known, `operating_points` (by precision, then by the name of
    a class) none chosen, `io` a graph that takes pixel values 0–255 uint8 (N, H, W, C) of any size
    and gives class maps and probabilities, `overlap` one class a pixel.
    """

    format_version: Annotated[int, Field(ge=1)] = FORMAT_VERSION
    name: Name
    classes: Annotated[tuple[SegmentationClass, ...], Field(min_length=1, max_length=256)]
    background: ClassId | None = None
    ignore: ClassId | None = None
    channels: Literal[1, 3]
    stride: Annotated[int, Field(ge=1)]
    receptive_field_radius: Annotated[int, Field(ge=0)] | None
    architecture: str
    upsampling: str
    parameters: Annotated[int, Field(ge=0)]
    scale: Scale | None = None
    intensity: Intensity | None = None
    calibration: dict[StoredPrecision, Calibration] | None = None
    reference: Reference | None = None
    operating_points: dict[StoredPrecision, dict[str, OperatingPoint]] | None = None
    io: ModelIO | None = None
    overlap: Overlap | None = None
    training: Training | None = None
    quantization: Quantization | None = None
    files: dict[str, str]

    @model_validator(mode="after")
    def _ids_agree(self) -> Self:
        ids = [segmentation_class.id for segmentation_class in self.classes]
        if ids != list(range(len(ids))):
            raise ValueError(
                f"class ids must be 0, 1, … in order, one a channel of the logits; got {ids}"
            )
        repeated = [name for name, n in Counter(c.name for c in self.classes).items() if n > 1]
        if repeated:
            raise ValueError(f"class names must differ; repeated: {', '.join(repeated)}")
        if self.background is not None and self.background not in ids:
            raise ValueError(
                f"background {self.background} is not a class id; ids are 0 to {ids[-1]}"
            )
        if self.ignore in ids:
            raise ValueError(
                f"ignore id {self.ignore} is the id of class "
                f"{self.classes[ids.index(self.ignore)].name!r}"
            )
        return self

    @model_validator(mode="after")
    def _facts_are_of_these_classes(self) -> Self:
        if self.reference is not None and len(self.reference.class_shares) != len(self.classes):
            raise ValueError(
                f"reference.class_shares has {len(self.reference.class_shares)} shares, for "
                f"{len(self.classes)} classes"
            )
        if self.overlap is not None:
            others = list(range(1, len(self.classes)))
            if sorted(self.overlap.priority) != others or self.background != 0:
                raise ValueError(
                    "overlap.priority has the ids of all classes but the background, which is 0; "
                    f"got {list(self.overlap.priority)} and the background {self.background}"
                )
        if self.io is not None:
            for name, values in (("mean", self.io.mean), ("std", self.io.std)):
                if values is not None and len(values) not in (1, self.channels):
                    raise ValueError(
                        f"io.{name} has {len(values)} values; one, or one a channel of "
                        f"{self.channels}"
                    )
        return self

    @model_validator(mode="after")
    def _what_is_by_precision_is_of_these_classes(self) -> Self:
        for precision, calibration in (self.calibration or {}).items():
            of_classes = calibration.class_temperatures
            if of_classes is not None and len(of_classes) != len(self.classes):
                raise ValueError(
                    f"calibration.{precision}.class_temperatures has {len(of_classes)} values, for "
                    f"{len(self.classes)} classes"
                )
        names = {segmentation_class.name for segmentation_class in self.classes}
        for precision, points in (self.operating_points or {}).items():
            unknown = sorted(set(points) - names)
            if unknown:
                raise ValueError(
                    f"operating_points.{precision} names {unknown[0]!r}, which is no class"
                )
        return self

    @property
    def runtimes(self) -> dict[str, tuple[StoredPrecision, ...]]:
        """The runtimes that the artefact holds files for, with the precisions of each, by the
        files' paths."""
        held = {
            "tensorflow": ("fp32",) if SAVED_MODEL_PATH.as_posix() in self.files else (),
            "openvino": self._precisions_of(openvino_files),
            "onnx": self._precisions_of(lambda precision: (onnx_path(precision),)),
        }
        return {runtime: precisions for runtime, precisions in held.items() if precisions}

    @property
    def only_size(self) -> tuple[int, int] | None:
        """The one height and width that the network takes, where it takes no other."""
        return None if self.io is None else self.io.size

    @property
    def openvino_precisions(self) -> tuple[StoredPrecision, ...]:
        """The precisions that the artefact holds OpenVINO files of."""
        return self.runtimes.get("openvino", ())

    def _precisions_of(
        self, files: Callable[[StoredPrecision], tuple[Path, ...]]
    ) -> tuple[StoredPrecision, ...]:
        return tuple(
            precision
            for precision in STORED_PRECISIONS
            if all(path.as_posix() in self.files for path in files(precision))
        )

    @property
    def digest(self) -> str:
        """One SHA-256 over the artefact's files, so that two artefacts can be told apart at a
        glance."""
        lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def openvino_path(precision: StoredPrecision) -> Path:
    """Where an artefact keeps its OpenVINO model; its weights lie beside it as .bin."""
    return OPENVINO_PATH / f"{precision}.xml"


def openvino_files(precision: StoredPrecision) -> tuple[Path, Path]:
    """The OpenVINO model of a precision, and its weights."""
    return openvino_path(precision), openvino_path(precision).with_suffix(".bin")


def onnx_path(precision: StoredPrecision) -> Path:
    """Where an artefact keeps its ONNX model."""
    return ONNX_PATH / f"{precision}.onnx"


def litert_path(precision: StoredPrecision) -> Path:
    """Where an artefact keeps its LiteRT model, which is to be taken elsewhere: nothing here serves
    it."""
    return LITERT_PATH / f"{precision}.tflite"


def file_digests(artefact: Path) -> dict[str, str]:
    """Map the path of each file below `artefact`, but the contract itself, to its SHA-256."""
    return {
        path.relative_to(artefact).as_posix(): _sha256(path)
        for path in sorted(artefact.rglob("*"))
        if path.is_file() and path != artefact / CONTRACT_PATH
    }


def write_contract(artefact: Path, contract: Contract) -> None:
    """Write the contract into `artefact`, in this release's format. The caller writes it last and
    renames the folder into place."""
    path = artefact / CONTRACT_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    document = contract.model_dump(mode="json") | {"format_version": FORMAT_VERSION}
    added = ("scale", "intensity", "calibration", "reference", "operating_points", "io", "overlap")
    kept = {key: value for key, value in document.items() if not (key in added and value is None)}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_contract(artefact: Path) -> Contract:
    """Read `artefact`'s contract, of format 1 or later. Raises ContractError where there is none or
    it does not hold together.

    Fields that this release does not know are passed over. A later format is read as far as its
    fields hold what they do here, unless its `min_reader_format` says that this is not enough.
    """
    path = artefact / CONTRACT_PATH
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ContractError(
            f"{artefact.name} has no {CONTRACT_PATH}; export it with `segtrain export`, "
            "or wrap an external SavedModel with `segtrain adopt`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{CONTRACT_PATH} cannot be read: {error}") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(
            f"{CONTRACT_PATH} is not JSON ({error}); is the folder still being copied?"
        ) from error
    return _parse(document)


def _parse(document: Any) -> Contract:
    version = document.get("format_version") if isinstance(document, dict) else None
    if type(version) is not int or version < 1:
        raise ContractError(
            f"{CONTRACT_PATH} has format_version {version!r}; this segserve reads 1 to "
            f"{FORMAT_VERSION}. Export the model again with this release's `segtrain export`"
        )
    later = (
        f"; it was written in format {version}, of a later release than this one, which knows "
        f"{FORMAT_VERSION}: update segserve, or export the model again with this release's "
        "`segtrain export`"
        if version > FORMAT_VERSION
        else ""
    )
    needed = document.get("min_reader_format", 1)
    if type(needed) is not int or needed > FORMAT_VERSION:
        raise ContractError(f"{CONTRACT_PATH} asks for a reader of format {needed}{later}")
    try:
        return Contract.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise ContractError(f"{CONTRACT_PATH}: {first_fault(error)}{later}") from error


def verify_files(artefact: Path, contract: Contract) -> None:
    """Compare each file with its digest in the contract. Raises ContractError that names the first
    that differs."""
    for name, digest in contract.files.items():
        path = artefact / name
        if not path.is_file():
            raise ContractError(f"{name} is missing; is the folder still being copied?")
        if _sha256(path) != digest:
            raise ContractError(
                f"{name} differs from its digest in {CONTRACT_PATH}; copy the folder again"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
