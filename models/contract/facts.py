"""What format 2 of the contract can say of how a model was measured, and of a graph that is not
ours."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

StoredPrecision = Literal["fp32", "int8"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Facts(BaseModel):
    """A part of the contract. `read_contract` passes over what a later release has added to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# ---- what was measured


class Calibration(Facts):
    """A temperature that logits are divided by, fitted on a split, and the expected calibration
    error before and after.

    `class_temperatures`, one a class by id, take its place where they are there: all logits of a
    pixel are divided by that of its strongest class, so that no class changes. `scores` and
    `uncalibrated_scores` say by split what the probabilities were worth with and without it.
    """

    temperature: Positive
    class_temperatures: tuple[Positive, ...] | None = None
    split: str
    error_before: Fraction
    error_after: Fraction
    scores: dict[str, dict[str, Finite]] = {}
    uncalibrated_scores: dict[str, dict[str, Finite]] = {}

    def temperatures(self, classes: int) -> tuple[float, ...]:
        """That of each class."""
        return self.class_temperatures or (self.temperature,) * classes


class OperatingPoint(Facts):
    """The least confidence at which the pixels of a class are right as often as was wished: its
    `precision` and `recall` on a split with and above it."""

    min_confidence: Fraction
    wished_precision: Fraction
    precision: Fraction
    recall: Fraction
    split: str


class Spread(Facts):
    """How a quantity lies over the images: its mean, and the values that 5, 50 and 95 % of them do
    not exceed."""

    mean: Finite
    p05: Finite
    p50: Finite
    p95: Finite

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if not self.p05 <= self.p50 <= self.p95:
            raise ValueError(f"p05, p50 and p95 ascend; got {self.p05}, {self.p50}, {self.p95}")
        return self


class Reference(Facts):
    """What the model sees and answers on a split of its own data, to compare with what it meets in
    use.

    `class_shares` are the classes' shares of the predicted pixels, by id; `confidence` is each
    image's mean over its pixels, on val alone where `split` has train too, except for a 5 % of
    train that lies lower. The others are those of `typicality.py`, of the image as the network sees
    it: its mean pixel value 0–255 is the `brightness`, its larger side in pixels the `long_side`.
    `limit` is the distance that 99 % of these images keep within, each quarter of them in the order
    of their files compared with the other three.
    """

    split: str
    images: Annotated[int, Field(ge=1)]
    class_shares: tuple[Fraction, ...]
    confidence: Spread
    brightness: Spread
    long_side: Spread
    contrast: Spread | None = None
    color: Spread | None = None
    vertical: Spread | None = None
    horizontal: Spread | None = None
    detail: Spread | None = None
    class_shift: Spread | None = None
    limit: Positive | None = None

    @model_validator(mode="after")
    def _shares_are_of_one_whole(self) -> Self:
        if abs(sum(self.class_shares) - 1) > 1e-3:
            raise ValueError(f"class_shares add up to 1; got {sum(self.class_shares):.4f}")
        return self


# ---- classes that overlap


class Overlap(Facts):
    """That a pixel may be of several classes, each with a probability of its own (a sigmoid), so
    that these do not add up to 1.

    Class 0 is what none of the others finds, and as likely as the likeliest of them is not. The
    others are where their probability is above `threshold`. `priority` has their ids: where several
    are, a class map shows the one that comes first.
    """

    priority: Annotated[tuple[int, ...], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5


# ---- a graph that is not ours


class ModelIO(Facts):
    """What a graph of another maker takes and gives, which the runtime's adapter obeys; of ours
    there is none.

    Pixel values 0–255 are brought linearly to `range`, then `mean` is subtracted and `std` divided
    by, one value or one a channel. `size` is the one height and width it takes; else H and W are
    mirrored up to multiples of `multiple`, and to `least_side`. A sigmoid whose channels leave the
    first class out gives that class where all are below `threshold`.
    """

    layout: Literal["NHWC", "NCHW"]
    channel_order: Literal["rgb", "bgr"] = "rgb"
    dtype: Literal["uint8", "float16", "float32"] = "float32"
    range: tuple[Finite, Finite] = (0.0, 255.0)
    mean: Annotated[tuple[Finite, ...], Field(min_length=1)] | None = None
    std: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    multiple: Annotated[int, Field(ge=1)] = 1
    least_side: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    output: Literal["logits", "probabilities", "sigmoid", "class_map"]
    output_layout: Literal["NHWC", "NCHW"] | None = None
    input_name: str | None = None
    output_name: str | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range ascends; got {list(self.range)}")
        if self.size is not None and self.multiple != 1:
            raise ValueError("size and multiple exclude each other; leave one out")
        return self
