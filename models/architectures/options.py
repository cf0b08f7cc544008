"""What a recipe can say about a network. Knows nothing of Keras, so that a command line can be read without it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NetworkName = Literal[
    "fcn32s", "fcn16s", "fcn8s", "unet", "encoder_decoder", "segnet", "unet_mobile"
]
Encoder = Literal["plain", "mobilenet_v2", "vgg16"]
Padding = Literal["same", "valid"]
Upsampling = Literal[
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "nearest_unpool",
    "max_unpool",
    "transposed",
]


@dataclass(frozen=True)
class NetworkChoices:
    """What one network can be built with; of encoders and upsamplings the first is its own."""

    paper: str
    encoders: tuple[Encoder, ...]
    upsamplings: tuple[Upsampling, ...]
    dropout: float = 0.0


_FCN = NetworkChoices(
    paper="Long, Shelhamer, Darrell 2015",
    encoders=("vgg16",),
    # Class scores are no features that pooling left a place for, so there is nothing to unpool them by.
    upsamplings=("transposed", "nearest", "bilinear", "bicubic"),
    dropout=0.5,
)
_ANY_BUT_MAX_UNPOOL: tuple[Upsampling, ...] = (
    "transposed",
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "nearest_unpool",
)

CHOICES: dict[NetworkName, NetworkChoices] = {
    "fcn32s": _FCN,
    "fcn16s": _FCN,
    "fcn8s": _FCN,
    "unet": NetworkChoices(
        paper="Ronneberger, Fischer, Brox 2015",
        encoders=("plain", "mobilenet_v2", "vgg16"),
        upsamplings=(*_ANY_BUT_MAX_UNPOOL, "max_unpool"),
    ),
    "encoder_decoder": NetworkChoices(
        paper="U-Net without its skips",
        encoders=("plain",),
        # The indices of max_unpool are a skip of their own: that network is SegNet.
        upsamplings=_ANY_BUT_MAX_UNPOOL,
    ),
    "segnet": NetworkChoices(
        paper="Badrinarayanan, Kendall, Cipolla 2017",
        encoders=("vgg16",),
        upsamplings=("max_unpool", *_ANY_BUT_MAX_UNPOOL),
    ),
    "unet_mobile": NetworkChoices(
        paper="ours, of published parts",
        encoders=("mobilenet_v2",),
        upsamplings=("bilinear", "nearest"),  # made for speed, so the two that cost least
    ),
}

# From which network's run a finer one may start (Long et al. 2015, section 4.2).
COARSER: dict[NetworkName, NetworkName] = {"fcn16s": "fcn32s", "fcn8s": "fcn16s"}


class NetworkOptions(BaseModel):
    """The [network] table of a recipe. What it leaves out is as in the network's paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[NetworkName, Field(description="the network; see `segtrain networks`")] = "unet"
    encoder: Annotated[
        Encoder, Field(description="the contracting path; the network's own if not said")
    ] = "plain"
    width: Annotated[
        int, Field(ge=1, le=512, description="features at full resolution, not of mobilenet_v2")
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
            description="the encoder's start: a weights file, an exported model's folder (mobilenet_v2), 'imagenet', or nothing for random"
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
    initialize_from: Annotated[
        Path | None, Field(description="the run of the coarser FCN that a finer one starts from")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_networks_own(cls, document: Any) -> Any:
        if not isinstance(document, dict) or document.get("name", "unet") not in CHOICES:
            return document
        choices = CHOICES[document.get("name", "unet")]
        own = {
            "encoder": choices.encoders[0],
            "upsampling": choices.upsamplings[0],
            "dropout": 0.5 if document.get("padding") == "valid" else choices.dropout,
        }
        return own | {key: value for key, value in document.items() if value is not None}

    @model_validator(mode="after")
    def _choices_go_together(self) -> Self:
        choices = CHOICES[self.name]
        if self.encoder not in choices.encoders:
            raise ValueError(
                f"{self.name} has no encoder '{self.encoder}'; it takes {_listed(choices.encoders)}"
            )
        if self.upsampling not in choices.upsamplings:
            raise ValueError(
                f"{self.name} has no use for the upsampling '{self.upsampling}'; "
                f"it takes {_listed(choices.upsamplings)}"
            )
        if self.upsampling == "max_unpool" and self.encoder == "mobilenet_v2":
            raise ValueError(
                "max_unpool puts values back where the encoder's pooling found them, and mobilenet_v2 "
                "does not pool; take the encoder plain or vgg16, or another upsampling"
            )
        if self.padding == "valid" and (self.name, self.encoder) != ("unet", "plain"):
            raise ValueError("padding = 'valid' is for unet with the plain encoder alone")
        if self.weights is not None and self.encoder == "plain":
            raise ValueError(
                "the plain encoder has no trained weights; take encoder = 'mobilenet_v2' or no weights"
            )
        if self.initialize_from is not None and self.name not in COARSER:
            raise ValueError(
                f"initialize_from is for {_listed(tuple(COARSER))}, which start from a coarser FCN's run; "
                f"{self.name} does not"
            )
        return self


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else f"{names[0]} alone"
