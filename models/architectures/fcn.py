"""FCN (Long, Shelhamer, Darrell: "Fully Convolutional Networks for Semantic Segmentation", CVPR
2015).

VGG16 with its classifier turned into convolutions scores the classes at stride 32. FCN-32s
interpolates these scores; FCN-16s adds scores of pool4 first, FCN-8s those of pool3 too. Each is
trained from the next coarser one: `initialize_from_coarser`.
"""

import keras

from models.architectures.backbones import (
    load_vgg16,
    vgg16_stages,
)
from models.architectures.blocks import CropLike, MirrorPad
from models.architectures.network import Network, assemble
from models.architectures.table import NETWORKS, Upsampling
from models.architectures.upsampling import UPSAMPLINGS, BilinearKernel
from models.architectures.weights_error import BackboneWeightsError

# ---- blocks


def _classifier(x: keras.KerasTensor, features: int, dropout: float) -> keras.KerasTensor:
    """VGG16's two fully connected layers as convolutions (section 3.1)."""
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        x = keras.layers.Conv2D(
            features, kernel, padding="same", kernel_initializer="he_normal", name=name
        )(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x


def _score(x: keras.KerasTensor, classes: int, name: str) -> keras.KerasTensor:
    """1×1 convolution from zero: a finer net begins with the coarser one's predictions (section
    4.2)."""
    return keras.layers.Conv2D(classes, 1, kernel_initializer="zeros", name=name)(x)


def _upscore(
    scores: keras.KerasTensor, factor: int, upsampling: Upsampling, name: str, learned: bool
) -> keras.KerasTensor:
    """The paper's: a bilinear start and no bias; the last one, to full size, stays bilinear
    (section 4.3)."""
    classes = scores.shape[-1]
    if upsampling != "transposed":
        return UPSAMPLINGS[upsampling](scores, classes, factor, name)
    return keras.layers.Conv2DTranspose(
        classes,
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=BilinearKernel(),
        trainable=learned,
        name=name,
    )(scores)


# ---- the network


def build_fcn(
    classes: int,
    channels: int,
    *,
    finest: int = 8,
    width: int = 64,
    upsampling: Upsampling = "transposed",
    weights: str | None = None,
    dropout: float = 0.5,
) -> Network:
    """Map pixel values 0–255 (N, H, W, channels) to logits float32 (N, H, W, classes), for any H, W
    ≥ 1.

    `finest` is the stride of the finest scores: 32, 16 or 8. `width` is the first stage's features,
    64 in VGG16; fc6 and fc7 have 64 times as many. `weights`: see `load_vgg16`. The reference code
    pads by 100 pixels and crops; mirror-padding to the stride and 'same' convolutions keep image
    and scores aligned without. Raises BackboneWeightsError.
    """
    image = keras.Input((None, None, channels), name="image")
    pooled = vgg16_stages(MirrorPad(STRIDE, name="mirror_pad")(image), width).pooled
    scores = _score(_classifier(pooled[32], 64 * width, dropout), classes, "score_fr")
    for stride, pool in ((16, "pool4"), (8, "pool3")):
        if stride >= finest:
            scores = _upscore(scores, 2, upsampling, f"upscore_{stride}", learned=True)
            skip = _score(pooled[stride], classes, f"score_{pool}")
            scores = keras.layers.Add(name=f"fuse_{pool}")([scores, skip])
    scores = _upscore(scores, finest, upsampling, f"upscore_{finest}_to_1", learned=False)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(scores)
    logits = CropLike(dtype="float32", name="crop")((logits, image))
    name = f"fcn{finest}s"
    network = assemble(name, image, logits, stride=STRIDE, encoder=pooled.values())
    if weights is not None:
        load_vgg16(network.model, weights)
    return network


def initialize_from_coarser(network: keras.Model, coarser: keras.Model) -> None:
    """Give an FCN the weights of the next coarser one, so that it starts with the same predictions.

    The scores the coarser one lacks are zero. Raises BackboneWeightsError where it is another
    network, or of another width or number of classes.
    """
    wanted = NETWORKS[network.name].coarser
    if coarser.name != wanted:
        raise BackboneWeightsError(
            f"{network.name} starts from a run of {wanted}; that one is of {coarser.name}"
        )
    for layer in coarser.layers:
        if layer.name.endswith("_to_1") or not layer.weights:
            continue
        kept, ours = layer.get_weights(), network.get_layer(layer.name)
        if [w.shape for w in kept] != [tuple(w.shape) for w in ours.weights]:
            raise BackboneWeightsError(
                f"{layer.name} of the {coarser.name} run has weights of {kept[0].shape}, that of "
                f"the {network.name} {tuple(ours.weights[0].shape)}; both must have one width and "
                "the same classes"
            )
        ours.set_weights(kept)


# ---- its facts

STRIDE = 32  # five poolings
