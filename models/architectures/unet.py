"""U-Net (Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015).

A contracting path doubles the features while it halves the resolution; an expanding path goes back up and takes, at each
resolution, the contracting path's features beside its own. Here with 'same' convolutions and BatchNorm, so that the logits
have the image's size. The contracting path is the paper's, or a MobileNetV2 (Sandler et al. 2018) with ImageNet weights.
"""

from typing import Literal

import keras

from models.architectures.backbones import mobilenet_v2_features
from models.architectures.blocks import CropLike, MirrorPad, double_conv_block, scaled_input
from models.architectures.options import Upsampling
from models.architectures.upsampling import UPSAMPLINGS, Resize, Upsample

PLAIN_LEVELS = 5  # five resolutions, four poolings: the paper's figure 1
MOBILENET_DECODER_FILTERS = {16: 128, 8: 64, 4: 48, 2: 32}

# ---- blocks


def _plain_features(x: keras.KerasTensor, width: int) -> dict[int, keras.KerasTensor]:
    """The paper's contracting path: stride to features, `width` channels at stride 1 and twice as many each level."""
    features = {}
    for level in range(PLAIN_LEVELS):
        if level > 0:
            x = keras.layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
        x = double_conv_block(x, width * 2**level, f"down{level}")
        features[2**level] = x
    return features


def _expand(
    features: dict[int, keras.KerasTensor], filters: dict[int, int], upsample: Upsample
) -> keras.KerasTensor:
    """The expanding path: from the coarsest features to stride min(filters), with a skip at each stride."""
    x = features[max(features)]
    for stride in sorted(filters, reverse=True):
        x = upsample(x, filters[stride], 2, f"up{stride}")
        x = keras.layers.Concatenate(name=f"up{stride}_skip")([features[stride], x])
        x = double_conv_block(x, filters[stride], f"up{stride}")
    return x


# ---- the network


def build_unet(
    classes: int,
    channels: int,
    *,
    encoder: Literal["plain", "mobilenet_v2"] = "plain",
    width: int = 64,
    upsampling: Upsampling = "transposed",
    weights: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Map pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for any H, W ≥ 1.

    `width` is the plain encoder's number of features at full resolution (64 in the paper). The MobileNetV2 decoder ends
    at stride 2 and its logits are interpolated: full-resolution convolutions would cost more than all the rest.
    """
    image = keras.Input((None, None, channels), name="image")
    x = MirrorPad(STRIDE[encoder], name="mirror_pad")(image)
    if encoder == "plain":
        features = _plain_features(scaled_input(x, channels), width)
        filters = {2**level: width * 2**level for level in range(PLAIN_LEVELS - 1)}
    else:
        features = mobilenet_v2_features(scaled_input(x, 3), weights)
        filters = MOBILENET_DECODER_FILTERS
    coarsest = max(features)
    features[coarsest] = keras.layers.Dropout(dropout, name="dropout")(features[coarsest])
    x = _expand(features, filters, UPSAMPLINGS[upsampling])
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    if min(filters) > 1:
        x = Resize(min(filters), "bilinear", name="to_full_resolution")(x)
    logits = CropLike(name="crop")((x, image))
    return keras.Model(image, logits, name="unet")


# ---- its facts

# The coarsest stride, of which padded H and W are multiples.
STRIDE = {"plain": 2 ** (PLAIN_LEVELS - 1), "mobilenet_v2": 32}
