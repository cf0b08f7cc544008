"""SegNet (Badrinarayanan, Kendall, Cipolla: "SegNet: A Deep Convolutional Encoder-Decoder
Architecture for Image Segmentation", 2017).

VGG16's 13 convolutions with BatchNorm, and a decoder that mirrors them. Of the encoder the decoder
gets the places of the maxima alone: max_unpool puts each value back where the pooling found it, and
the convolutions fill in the zeros.
"""

import keras

from models.architectures.backbones import (
    VGG16_CONVOLUTIONS,
    VGG16_WIDTHS,
    load_vgg16,
    vgg16_stages,
)
from models.architectures.blocks import CropLike, MirrorPad, conv_block
from models.architectures.network import Network, assemble
from models.architectures.table import Upsampling
from models.architectures.upsampling import UPSAMPLINGS

# ---- blocks


def _decoder_stage(
    x: keras.KerasTensor, convolutions: int, filters_below: int, name: str
) -> keras.KerasTensor:
    """As many convolutions as the encoder's stage has; the last one narrows to what the next stage
    up has."""
    for number in range(1, convolutions):
        x = conv_block(x, x.shape[-1], f"{name}_{number}")
    return conv_block(x, filters_below, f"{name}_{convolutions}")


# ---- the network


def build_segnet(
    classes: int,
    channels: int,
    *,
    width: int = 64,
    upsampling: Upsampling = "max_unpool",
    weights: str | None = None,
    dropout: float = 0.0,
) -> Network:
    """Map pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for any H, W
    ≥ 1.

    `width` is the first stage's features, 64 in VGG16. `weights`: see `load_vgg16`. Other
    upsamplings than max_unpool are those of the paper's table 1, in the same decoder. Raises
    BackboneWeightsError.
    """
    image = keras.Input((None, None, channels), name="image")
    padded = MirrorPad(STRIDE, name="mirror_pad")(image)
    stages = vgg16_stages(padded, width, batch_norm=True, with_indices=upsampling == "max_unpool")
    x = keras.layers.Dropout(dropout, name="dropout")(stages.pooled[STRIDE])
    filters = [width * multiple for multiple in VGG16_WIDTHS]
    levels = {}
    for stage in range(len(filters), 0, -1):
        stride = 2 ** (stage - 1)
        indices = stages.indices.get(stride)
        x = UPSAMPLINGS[upsampling](x, filters[stage - 1], 2, f"up{stride}", indices)
        if stage > 1:
            x = _decoder_stage(x, VGG16_CONVOLUTIONS[stage - 1], filters[stage - 2], f"up{stride}")
        else:
            x = conv_block(x, width, "up1_1")
        levels[stride] = x
    x = keras.layers.Conv2D(classes, 3, padding="same", dtype="float32", name="logits")(x)
    logits = CropLike(dtype="float32", name="crop")((x, image))
    network = assemble(
        "segnet", image, logits, stride=STRIDE, encoder=stages.pooled.values(), decoder=levels
    )
    if weights is not None:
        load_vgg16(network.model, weights)
    return network


# ---- its facts

STRIDE = 32  # five poolings
