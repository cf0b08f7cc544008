"""What the user says of an external model. Knows nothing of TensorFlow, so that a command line can
be read without it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.contract import UserError

Scaling = Literal["0..1", "-1..1", "none"]
ChannelOrder = Literal["rgb", "bgr"]
AxisOrder = Literal["NHWC", "NCHW"]
OutputKind = Literal["logits", "probabilities", "sigmoid", "class_map"]


class AdoptionError(UserError):
    """The external model cannot be wrapped, or something has to be said of it. The text says
    what."""


class AdoptOptions(BaseModel):
    """How an external model wants its pixels and what its output means. None is found out from the
    model, or asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scaling: Annotated[
        Scaling | None, Field(description="the range that pixel values 0–255 are brought to")
    ] = None
    mean: Annotated[
        tuple[float, ...] | None, Field(description="subtracted after scaling, one a channel")
    ] = None
    std: Annotated[
        tuple[float, ...] | None, Field(description="divided by after mean, one a channel")
    ] = None
    channel_order: Annotated[ChannelOrder, Field(description="of colour images")] = "rgb"
    axes: Annotated[AxisOrder | None, Field(description="the order of the input's axes")] = None
    channels: Annotated[
        Literal[1, 3] | None, Field(description="of the input, where the model leaves them open")
    ] = None
    size: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None,
        Field(description="height and width to bring images to, for a model of any size"),
    ] = None
    multiple: Annotated[
        int | None,
        Field(ge=1, le=1024, description="of which both sides are, for a model of any size"),
    ] = None
    output: Annotated[
        OutputKind | None, Field(description="what its output is; sigmoid: each class for itself")
    ] = None
    threshold: Annotated[
        float, Field(gt=0, lt=1, description="of a single sigmoid channel, for its class")
    ] = 0.5
    priority: Annotated[
        str | None,
        Field(
            description="its classes overlap, each a sigmoid for itself; which of them a class "
            "map shows where several are: their names, the first on top"
        ),
    ] = None
    runtime: Annotated[
        Literal["openvino", "onnx"],
        Field(description="what is to serve it; onnx for operators that OpenVINO lacks"),
    ] = "openvino"
    output_name: Annotated[
        str | None, Field(description="which output, where there are several")
    ] = None
    signature: Annotated[str | None, Field(description="which signature of a SavedModel")] = None
    receptive_field_radius: Annotated[
        int | None, Field(ge=0, description="pixels it sees around each; global if not said")
    ] = None

    @model_validator(mode="after")
    def _normalization_is_whole(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, 3):
                raise ValueError(f"{name} has one value, or one a channel; got {len(values)}")
        if self.std is not None and any(value <= 0 for value in self.std):
            raise ValueError(f"std is above 0; got {self.std}")
        return self
