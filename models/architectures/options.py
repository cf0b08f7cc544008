"""What a recipe can say about a network. Knows nothing of Keras, so that a command line can be read
without it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.architectures.table import (
    KERAS,
    NETWORKS,
    SCALED_BY_WIDTH,
    Encoder,
    Padding,
    Upsampling,
)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else f"{names[0]} alone"


def _in_the_table(name: str) -> str:
    if name not in NETWORKS:
        raise ValueError(f"there is no network '{name}'; there are {', '.join(NETWORKS)}")
    return name


class NetworkOptions(BaseModel):
    """The [network] table of a recipe. What it leaves out is as in the network's paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[
        str,
        AfterValidator(_in_the_table),
        Field(description="the network; see `segtrain networks`"),
    ] = "unet"
    encoder: Annotated[
        Encoder,
        Field(
            description="the contracting path, also keras:NAME of Keras Applications, such as "
            "keras:EfficientNetV2B0; the network's own if not said"
        ),
    ] = "plain"
    width: Annotated[
        int,
        Field(
            ge=1,
            le=512,
            description="features at full resolution, of the encoders plain and vgg16; with other "
            "encoders the decoder's width alone, twice as many features at 128",
        ),
    ] = 64
    upsampling: Annotated[
        Upsampling, Field(description="how the decoder goes up; the network's own if not said")
    ] = "transposed"
    padding: Annotated[
        Padding, Field(description="of convolutions; valid is the paper's U-Net, without BatchNorm")
    ] = "same"
    weights: Annotated[
        str | None,
        Field(
            description="the encoder's start: a weights file, the folder of an exported model "
            "(not vgg16) or of a keras-hub preset of its network, 'imagenet', or nothing for random"
        ),
    ] = None
    dropout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="dropped share of the coarsest features; 0.5 in the papers' fcn and unet",
        ),
    ] = 0.0
    feature_norm: Annotated[
        bool,
        Field(
            description="a BatchNorm behind each of the encoder's features, by which a decoder "
            "learns sooner; not of the encoders plain and vgg16"
        ),
    ] = False
    initialize_from: Annotated[
        Path | None,
        Field(
            description="what the whole network starts from, in the place of weights: a run or an "
            "exported model of the same network, or the run of the next coarser FCN"
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_networks_own(cls, document: Any) -> Any:
        entry = (
            NETWORKS.get(str(document.get("name", "unet"))) if isinstance(document, dict) else None
        )
        if entry is None:
            return document
        own = {
            "encoder": entry.encoders[0],
            "upsampling": entry.upsamplings[0],
            "dropout": 0.5 if document.get("padding") == "valid" else entry.dropout,
        }
        return own | {key: value for key, value in document.items() if value is not None}

    @model_validator(mode="after")
    def _choices_go_together(self) -> Self:
        entry = NETWORKS[self.name]
        of_keras = entry.takes_keras and self.encoder.startswith(KERAS)
        if self.encoder not in entry.encoders and not of_keras:
            others = ", and keras:NAME of Keras Applications" if entry.takes_keras else ""
            raise ValueError(
                f"{self.name} has no encoder '{self.encoder}'; it takes {_listed(entry.encoders)}"
                f"{others}"
            )
        if self.upsampling not in entry.upsamplings:
            raise ValueError(
                f"{self.name} has no use for the upsampling '{self.upsampling}'; "
                f"it takes {_listed(entry.upsamplings)}"
            )
        if self.upsampling == "max_unpool" and self.encoder not in SCALED_BY_WIDTH:
            raise ValueError(
                "max_unpool puts values back where the encoder's pooling found them, and "
                f"{self.encoder} does not pool; take the encoder plain or vgg16, or another "
                "upsampling"
            )
        takes_valid = entry.valid_padding and self.encoder == entry.encoders[0]
        if self.padding == "valid" and not takes_valid:
            taking = [
                f"{n} with the {e.encoders[0]} encoder"
                for n, e in NETWORKS.items()
                if e.valid_padding
            ]
            raise ValueError(f"padding = 'valid' is for {_listed(taking)}")
        if self.feature_norm and self.encoder in SCALED_BY_WIDTH:
            raise ValueError(
                f"feature_norm is not for the encoder {self.encoder}; take mobilenet_v2, or one of "
                "its kind, or leave it out"
            )
        if self.weights is not None and self.encoder == "plain":
            raise ValueError(
                "the plain encoder has no trained weights; take encoder = 'mobilenet_v2' or no "
                "weights"
            )
        return self
