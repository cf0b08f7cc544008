"""What a SavedModel promises, beyond what its graph can say.

`<store>/<name>/<version>/` is TensorFlow Serving's layout; our own facts lie in `assets.extra/`, which other servers
ignore. The contract is written last and the folder appears by one rename, so a reader sees a whole artefact or none.

This module is all that the service imports from `models`; it needs pydantic and the standard library only.
"""

import hashlib
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.contract.preprocessing import Intensity, Scale

FORMAT_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)
from models.contract.errors import UserError
from models.contract.faults import first_fault

CONTRACT_PATH = Path("assets.extra/contract.json")
MODEL_CARD_PATH = Path("assets.extra/model_card.md")
RECIPE_PATH = Path("assets.extra/recipe.toml")  # of a model that segtrain trained
OPENVINO_PATH = Path("assets.extra/openvino")

ClassId = Annotated[int, Field(ge=0, le=255)]
Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

StoredPrecision = Literal["fp32", "int8"]
STORED_PRECISIONS: Final[tuple[StoredPrecision, ...]] = ("fp32", "int8")

# The outputs of an OpenVINO file, in this order: class ids uint8 (N, H, W), softmax float32 (N, H, W, classes).
OPENVINO_OUTPUTS: Final = ("class_map", "probabilities")


class ContractError(UserError):
    """The folder is not an artefact, or not the one its contract describes. The text says which file, and what to do."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmentationClass(_Frozen):
    """One class: its id is the pixel value in a class map, its colour the palette entry (`#rrggbb`)."""

    id: ClassId
    name: Annotated[str, Field(min_length=1)]
    color: Color

    @property
    def rgb(self) -> tuple[int, int, int]:
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


class Training(_Frozen):
    """Where the weights come from. `scores` maps a split to its scores, each a fraction in [0, 1]."""

    dataset: str
    licence: str
    source: str
    split_sizes: dict[str, int]
    seed: int
    epochs: int
    minutes: float
    finished: date
    scores: dict[str, dict[str, float]]


class Quantization(_Frozen):
    """How the int8 files were made, and what they score beside the floating-point ones on the same split.

    Both maps go from split to scores, each a fraction in [0, 1]. `kept_float` names the layers left in floating point.
    """

    calibration_images: Annotated[int, Field(ge=1)]
    kept_float: tuple[str, ...]
    scores: dict[str, dict[str, float]]
    float_scores: dict[str, dict[str, float]]


class Contract(_Frozen):
    """The facts of one artefact, `assets.extra/contract.json`.

    `receptive_field_radius` is the distance in pixels beyond which the input cannot change an output pixel, or None
    where the network has global context. `files` maps each other file's path to its SHA-256. `scale` says at which size the
    network knows its objects, `intensity` how pixels deeper than 8 bits become 8; None is what format 1 meant, pixels as
    they are and the upper 8 bits.
    """

    format_version: Literal[1, 2] = FORMAT_VERSION
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
                f"ignore id {self.ignore} is the id of class {self.classes[ids.index(self.ignore)].name!r}"
            )
        return self

    @property
    def openvino_precisions(self) -> tuple[StoredPrecision, ...]:
        """The precisions that the artefact holds OpenVINO files of."""
        return tuple(
            precision
            for precision in STORED_PRECISIONS
            if {openvino_path(precision).as_posix(), _weights_of(precision)} <= self.files.keys()
        )

    @property
    def digest(self) -> str:
        """One SHA-256 over the artefact's files, so that two artefacts can be told apart at a glance."""
        lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def openvino_path(precision: StoredPrecision) -> Path:
    """Where an artefact keeps its OpenVINO model; its weights lie beside it as .bin."""
    return OPENVINO_PATH / f"{precision}.xml"


def _weights_of(precision: StoredPrecision) -> str:
    return openvino_path(precision).with_suffix(".bin").as_posix()


def file_digests(artefact: Path) -> dict[str, str]:
    """Map the path of each file below `artefact`, but the contract itself, to its SHA-256."""
    return {
        path.relative_to(artefact).as_posix(): _sha256(path)
        for path in sorted(artefact.rglob("*"))
        if path.is_file() and path != artefact / CONTRACT_PATH
    }


def write_contract(artefact: Path, contract: Contract) -> None:
    """Write the contract into `artefact`. The caller writes it last and renames the folder into place."""
    path = artefact / CONTRACT_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(contract.model_dump_json(indent=2) + "\n")


def read_contract(artefact: Path) -> Contract:
    """Read `artefact`'s contract. Raises ContractError where there is none or it does not hold together."""
    path = artefact / CONTRACT_PATH
    try:
        text = path.read_text()
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
    version = document.get("format_version") if isinstance(document, dict) else None
    if version not in READABLE_VERSIONS:
        raise ContractError(
            f"{CONTRACT_PATH} has format_version {version!r}; this segserve reads {' and '.join(map(str, READABLE_VERSIONS))}. "
            "Export the model again with this release's `segtrain export`"
        )
    try:
        return Contract.model_validate(document, extra="ignore")  # a later release may say more
    except ValidationError as error:
        raise ContractError(f"{CONTRACT_PATH}: {first_fault(error)}") from error


def verify_files(artefact: Path, contract: Contract) -> None:
    """Compare each file with its digest in the contract. Raises ContractError that names the first that differs."""
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
