"""U-Net without its skips: a plain encoder and decoder, the structure of an autoencoder.

The same convolutions at the same widths as `unet`, so that the difference between the two is what
skips bring (Long et al. 2015, section 4.2, and Ronneberger et al. 2015, section 2, on why: what
pooling throws away the decoder cannot know).
"""

import keras

from models.architectures.blocks import CropLike, MirrorPad, double_conv_block, scaled_input
from models.architectures.network import Features, Network, assemble
from models.architectures.table import Upsampling
from models.architectures.unet import STRIDE, contracting_path
from models.architectures.upsampling import UPSAMPLINGS, Upsample

# ---- blocks


def _expanding_path(x: keras.KerasTensor, filters: dict[int, int], upsample: Upsample) -> Features:
    """The features of each level of the decoder, by stride."""
    levels = {}
    for stride in sorted(filters, reverse=True):
        x = upsample(x, filters[stride], 2, f"up{stride}")
        levels[stride] = x = double_conv_block(x, filters[stride], f"up{stride}")
    return levels


# ---- the network


def build_encoder_decoder(
    classes: int,
    channels: int,
    *,
    width: int = 64,
    upsampling: Upsampling = "transposed",
    dropout: float = 0.0,
) -> Network:
    """Map pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for any H, W
    ≥ 1.

    `width` is the number of features at full resolution, twice as many each of four levels down.
    """
    image = keras.Input((None, None, channels), name="image")
    x = scaled_input(MirrorPad(STRIDE, name="mirror_pad")(image), channels)
    features, _ = contracting_path(x, width)
    coarsest = max(features)
    x = keras.layers.Dropout(dropout, name="dropout")(features[coarsest])
    filters = {stride: width * stride for stride in features if stride < coarsest}
    levels = _expanding_path(x, filters, UPSAMPLINGS[upsampling])
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(levels[min(levels)])
    logits = CropLike(dtype="float32", name="crop")((x, image))
    return assemble(
        "encoder_decoder",
        image,
        logits,
        stride=STRIDE,
        encoder=features.values(),
        decoder=levels,
    )
