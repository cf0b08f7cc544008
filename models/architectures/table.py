"""Every network the trainer offers, a row each. Knows nothing of Keras until one is built, so that
a command line can be read without it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from models.architectures.network import Network
    from models.architectures.options import NetworkOptions

# One of an entry's, or KERAS and the name of a backbone of Keras Applications.
Encoder: TypeAlias = str
KERAS = "keras:"
# Those that a recipe's `width` scales; they pool, and the others do not.
SCALED_BY_WIDTH: tuple[Encoder, ...] = ("plain", "vgg16")
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
class NetworkEntry:
    """One network, and what it can be built with; of encoders and upsamplings the first is its own.

    `build` takes the number of classes, the number of channels and the options. `valid_padding`
    says that its own encoder takes padding = "valid", `takes_keras` that backbones of Keras
    Applications are encoders too, `coarser` from which network's run it may start. `custom_layers`
    gives the kinds of layers that this network alone has, to load it from a file.
    """

    paper: str
    encoders: tuple[Encoder, ...]
    upsamplings: tuple[Upsampling, ...]
    build: "Callable[[int, int, NetworkOptions], Network]"
    dropout: float = 0.0
    valid_padding: bool = False
    takes_keras: bool = False
    coarser: str | None = None
    custom_layers: Callable[[], tuple[type, ...]] = tuple


# ---- builders


def _build_fcn(classes: int, channels: int, options: "NetworkOptions") -> "Network":
    from models.architectures.fcn import build_fcn

    return build_fcn(
        classes,
        channels,
        finest={"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}[options.name],
        width=options.width,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
    )


def _build_unet(classes: int, channels: int, options: "NetworkOptions") -> "Network":
    from models.architectures.unet import build_unet

    return build_unet(
        classes,
        channels,
        encoder=options.encoder,
        width=options.width,
        upsampling=options.upsampling,
        padding=options.padding,
        weights=options.weights,
        dropout=options.dropout,
        feature_norm=options.feature_norm,
    )


def _build_encoder_decoder(classes: int, channels: int, options: "NetworkOptions") -> "Network":
    from models.architectures.encoder_decoder import build_encoder_decoder

    return build_encoder_decoder(
        classes,
        channels,
        width=options.width,
        upsampling=options.upsampling,
        dropout=options.dropout,
    )


def _build_segnet(classes: int, channels: int, options: "NetworkOptions") -> "Network":
    from models.architectures.segnet import build_segnet

    return build_segnet(
        classes,
        channels,
        width=options.width,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
    )


def _build_unet_mobile(classes: int, channels: int, options: "NetworkOptions") -> "Network":
    from models.architectures.unet_mobile import build_unet_mobile

    return build_unet_mobile(
        classes,
        channels,
        encoder=options.encoder,
        width=options.width,
        upsampling=options.upsampling,
        weights=options.weights,
        dropout=options.dropout,
        feature_norm=options.feature_norm,
    )


# ---- the table

_ANY_BUT_MAX_UNPOOL: tuple[Upsampling, ...] = (
    "transposed",
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "nearest_unpool",
)


def _fcn(coarser: str | None = None) -> NetworkEntry:
    return NetworkEntry(
        paper="Long, Shelhamer, Darrell 2015",
        encoders=("vgg16",),
        # Pooling left no places for class scores, so there is nothing to unpool them by.
        upsamplings=("transposed", "nearest", "bilinear", "bicubic"),
        build=_build_fcn,
        dropout=0.5,
        coarser=coarser,
    )


NETWORKS: dict[str, NetworkEntry] = {
    "fcn32s": _fcn(),
    "fcn16s": _fcn(coarser="fcn32s"),  # section 4.2
    "fcn8s": _fcn(coarser="fcn16s"),
    "unet": NetworkEntry(
        paper="Ronneberger, Fischer, Brox 2015",
        encoders=("plain", "mobilenet_v2", "efficientnet_lite0", "vgg16"),
        upsamplings=(*_ANY_BUT_MAX_UNPOOL, "max_unpool"),
        build=_build_unet,
        valid_padding=True,
        takes_keras=True,
    ),
    "encoder_decoder": NetworkEntry(
        paper="U-Net without its skips",
        encoders=("plain",),
        # The indices of max_unpool are a skip of their own: that network is SegNet.
        upsamplings=_ANY_BUT_MAX_UNPOOL,
        build=_build_encoder_decoder,
    ),
    "segnet": NetworkEntry(
        paper="Badrinarayanan, Kendall, Cipolla 2017",
        encoders=("vgg16",),
        upsamplings=("max_unpool", *_ANY_BUT_MAX_UNPOOL),
        build=_build_segnet,
    ),
    "unet_mobile": NetworkEntry(
        paper="ours, of published parts",
        encoders=("mobilenet_v2", "efficientnet_lite0"),
        upsamplings=("bilinear", "nearest"),  # made for speed, so the two that cost least
        build=_build_unet_mobile,
        takes_keras=True,
    ),
}
