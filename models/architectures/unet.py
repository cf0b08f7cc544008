"""U-Net (Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015).

A contracting path doubles the features while it halves the resolution; an expanding path goes back
up and takes, at each resolution, the contracting path's features beside its own. padding = "valid"
is the paper's network to the last weight, with its mirrored surroundings (the overlap-tile
strategy) inside the model; padding = "same" has BatchNorm, as people use it. The contracting path
is the paper's, VGG16's (Simonyan and Zisserman 2015), or one of `encoders.py`.
"""

from dataclasses import dataclass

import keras

from models.architectures.backbones import load_vgg16, vgg16_stages
from models.architectures.blocks import (
    CropLike,
    MirrorPad,
    double_conv_block,
    max_pool,
    scaled_input,
)
from models.architectures.encoders import STRIDE as ENCODERS_STRIDE
from models.architectures.encoders import decoder_filters, encode, normalised
from models.architectures.network import Features, Network, assemble
from models.architectures.table import SCALED_BY_WIDTH, Encoder, Padding, Upsampling
from models.architectures.upsampling import UPSAMPLINGS, Resize, Upsample, up_convolution

PLAIN_LEVELS = 5  # five resolutions, four poolings: the paper's figure 1

# ---- blocks


def contracting_path(
    x: keras.KerasTensor, width: int, *, padding: Padding = "same", with_indices: bool = False
) -> tuple[Features, Features]:
    """The paper's: by stride, features (`width` channels at stride 1, twice as many each level) and
    pooling indices."""
    features: dict[int, keras.KerasTensor] = {}
    indices_by_stride: dict[int, keras.KerasTensor] = {}
    for level in range(PLAIN_LEVELS):
        if level > 0:
            x, indices = max_pool(x, f"down{level}_pool", with_indices)
            if indices is not None:
                indices_by_stride[2 ** (level - 1)] = indices
        x = double_conv_block(x, width * 2**level, f"down{level}", padding)
        features[2**level] = x
    return features, indices_by_stride


def _expanding_path(
    x: keras.KerasTensor,
    features: Features,
    indices: Features,
    filters: dict[int, int],
    upsample: Upsample,
    padding: Padding,
) -> Features:
    """From `x`, the coarsest features, to stride min(filters), with a skip at each stride: the
    features there."""
    levels = {}
    for stride in sorted(filters, reverse=True):
        skip, places = features[stride], indices.get(stride)
        if padding == "valid":  # the contracting path's features are larger all round
            skip = keras.layers.Cropping2D(VALID_CROP[stride], name=f"up{stride}_crop")(skip)
            if places is not None:
                crop = keras.layers.Cropping2D(VALID_CROP[stride] // 2, name=f"up{stride}_places")
                places = crop(places)
        x = upsample(x, filters[stride], 2, f"up{stride}", places)
        x = keras.layers.Concatenate(name=f"up{stride}_skip")([skip, x])
        levels[stride] = x = double_conv_block(x, filters[stride], f"up{stride}", padding)
    return levels


# ---- the network


def build_unet(
    classes: int,
    channels: int,
    *,
    encoder: Encoder = "plain",
    width: int = 64,
    upsampling: Upsampling = "transposed",
    padding: Padding = "same",
    weights: str | None = None,
    dropout: float = 0.0,
    feature_norm: bool = False,
) -> Network:
    """Map pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for any H, W
    ≥ 1.

    `width` is the number of features at full resolution (64 in the papers). Of the encoders of
    `encoders.py` it scales the decoder alone, which ends at stride 2 and whose logits are
    interpolated: full-resolution convolutions would cost more than all the rest. `feature_norm`
    puts a BatchNorm behind each of the features of such an encoder. Raises BackboneWeightsError.
    """
    image = keras.Input((None, None, channels), name="image")
    stride = STRIDE if encoder in SCALED_BY_WIDTH else ENCODERS_STRIDE
    if padding == "valid":
        x = MirrorPad(stride, VALID_MARGIN, VALID_REMAINDER, name="mirror_pad")(image)
    else:
        x = MirrorPad(stride, name="mirror_pad")(image)
    parts = _parts(x, classes, encoder, width, upsampling, padding, weights, dropout, feature_norm)
    network = assemble(
        "unet",
        image,
        CropLike(dtype="float32", name="crop")((parts.logits, image)),
        stride=stride,
        encoder=parts.encoder.values(),
        # Valid convolutions leave a level smaller than the image over its stride.
        decoder={} if padding == "valid" else parts.decoder,
    )
    if encoder == "vgg16" and weights is not None:
        load_vgg16(network.model, weights)
    return network


def build_papers_unet(
    classes: int, channels: int, width: int = 64, dropout: float = 0.0
) -> keras.Model:
    """The bare network of figure 1: (N, H, W, channels) to logits (N, H - 184, W - 184, classes),
    572 to 388.

    H and W are 188 and a multiple of 16 more. Its weights are those of
    `build_unet(padding="valid")`.
    """
    image = keras.Input((None, None, channels), name="image")
    parts = _parts(image, classes, "plain", width, "transposed", "valid", None, dropout)
    return keras.Model(image, parts.logits, name="unet")


@dataclass(frozen=True)
class _Parts:
    """The features of the encoder and of the decoder by stride, and the logits."""

    encoder: Features
    decoder: Features
    logits: keras.KerasTensor


def _parts(
    x: keras.KerasTensor,
    classes: int,
    encoder: Encoder,
    width: int,
    upsampling: Upsampling,
    padding: Padding,
    weights: str | None,
    dropout: float,
    feature_norm: bool = False,
) -> _Parts:
    features, indices = _encode(x, encoder, width, padding, weights, upsampling == "max_unpool")
    filters = (
        decoder_filters(width)
        if encoder not in SCALED_BY_WIDTH
        else {2**level: width * 2**level for level in range(PLAIN_LEVELS - 1)}
    )
    skips = normalised(features) if feature_norm else features
    x = keras.layers.Dropout(dropout, name="dropout")(skips[max(skips)])
    papers_own = padding == "valid" and upsampling == "transposed"
    upsample = up_convolution if papers_own else UPSAMPLINGS[upsampling]
    levels = _expanding_path(x, skips, indices, filters, upsample, padding)
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(levels[min(levels)])
    if min(filters) > 1:
        x = Resize(min(filters), "bilinear", dtype="float32", name="to_full_resolution")(x)
    return _Parts(features, levels, x)


def _encode(
    x: keras.KerasTensor,
    encoder: Encoder,
    width: int,
    padding: Padding,
    weights: str | None,
    with_indices: bool,
) -> tuple[Features, Features]:
    if encoder not in SCALED_BY_WIDTH:
        return encode(x, encoder, weights), {}
    if encoder == "vgg16":
        stages = vgg16_stages(x, width, with_indices=with_indices)
        return stages.features, stages.indices
    x = scaled_input(x, x.shape[-1])
    return contracting_path(x, width, padding=padding, with_indices=with_indices)


# ---- its facts

STRIDE = 2 ** (PLAIN_LEVELS - 1)  # of the encoders plain and vgg16

# Valid convolutions, figure 1: what is cropped from each side of the features at a stride; what the
# whole network takes from each side of the image; and the size that comes out beyond a multiple of
# 16, so that every pooling finds an even size.
VALID_CROP = {8: 4, 4: 16, 2: 40, 1: 88}
VALID_MARGIN = 92
VALID_REMAINDER = 4
