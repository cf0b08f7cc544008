"""The fast one: a U-Net for CPUs, at most 3 M parameters.

MobileNetV2 (Sandler et al. 2018), or another encoder of its kind, goes down, and a decoder of
depthwise-separable convolutions (Howard et al. 2017, section 3.1) goes up to stride 2 with U-Net's
skips (Ronneberger et al. 2015). The logits are interpolated.
"""

import keras

from models.architectures.blocks import (
    BATCH_NORM_MOMENTUM,
    BatchNorm,
    CropLike,
    MirrorPad,
)
from models.architectures.encoders import STRIDE, decoder_filters, encode, normalised
from models.architectures.network import Network, assemble
from models.architectures.table import Encoder, Upsampling
from models.architectures.upsampling import UPSAMPLINGS, Resize

# ---- blocks


def separable_block(
    x: keras.KerasTensor, filters: int, name: str, *, dilation: int = 1
) -> keras.KerasTensor:
    """Depthwise convolution, then 1×1, each with BatchNorm and ReLU: about an eighth of a 3×3
    convolution's work."""
    x = keras.layers.DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = _norm_relu(x, f"{name}_depthwise")
    x = keras.layers.Conv2D(
        filters, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_pointwise"
    )(x)
    return _norm_relu(x, f"{name}_pointwise")


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = BatchNorm(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


# ---- the network


def build_unet_mobile(
    classes: int,
    channels: int,
    *,
    encoder: Encoder = "mobilenet_v2",
    width: int = 64,
    upsampling: Upsampling = "bilinear",
    weights: str | None = None,
    dropout: float = 0.0,
    feature_norm: bool = False,
) -> Network:
    """Map pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for any H, W
    ≥ 1.

    `width` scales the decoder, `weights` are the encoder's, as in `encoders.py`; `feature_norm`
    puts a BatchNorm behind each of its features. Raises BackboneWeightsError.
    """
    image = keras.Input((None, None, channels), name="image")
    features = encode(MirrorPad(STRIDE, name="mirror_pad")(image), encoder, weights)
    skips = normalised(features) if feature_norm else features
    x = keras.layers.Dropout(dropout, name="dropout")(skips[STRIDE])
    levels = {}
    for stride, filters in decoder_filters(width).items():
        x = UPSAMPLINGS[upsampling](x, filters, 2, f"up{stride}")
        x = keras.layers.Concatenate(name=f"up{stride}_skip")([skips[stride], x])
        x = separable_block(x, filters, f"up{stride}_1")
        levels[stride] = x = separable_block(x, filters, f"up{stride}_2")
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    x = Resize(2, "bilinear", dtype="float32", name="to_full_resolution")(x)
    logits = CropLike(dtype="float32", name="crop")((x, image))
    return assemble(
        "unet_mobile", image, logits, stride=STRIDE, encoder=features.values(), decoder=levels
    )
