"""What a recipe can say about losses and optimizers. Knows nothing of Keras, so that a command line
can be read without it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ClassWeighting = Literal["none", "inverse_log", "median_frequency"]
Decay = Literal["cosine", "poly", "constant"]
LossName = Literal["cross_entropy", "focal", "dice", "tversky", "lovasz_softmax", "boundary_f1"]
Precision = Literal["float32", "bfloat16", "float16"]


class LossTerm(BaseModel):
    """One term of the loss, by name, with its share and the parameters of those that have some."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[LossName, Field(description="which loss")]
    weight: Annotated[float, Field(gt=0, description="its share in the sum")] = 1.0
    start: Annotated[
        float,
        Field(ge=0, lt=1, description="share of the training's steps after which it counts"),
    ] = 0.0
    gamma: Annotated[float, Field(ge=0, description="focal: how little easy pixels count")] = 2.0
    alpha: Annotated[float, Field(ge=0, description="tversky: what a false positive costs")] = 0.3
    beta: Annotated[float, Field(ge=0, description="tversky: what a missed pixel costs")] = 0.7


class LossOptions(BaseModel):
    """The [loss] table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: Annotated[
        tuple[LossTerm, ...],
        Field(
            min_length=1,
            description="what is summed: cross_entropy, focal, dice, tversky, lovasz_softmax, "
            "boundary_f1",
        ),
    ] = (LossTerm(name="cross_entropy"),)
    border_weight: Annotated[
        float,
        Field(ge=0, description="added to the weight of background between objects; U-Net's is 10"),
    ] = 0.0
    border_sigma: Annotated[
        float, Field(gt=0, le=50, description="how far it reaches, in pixels of the image")
    ] = 5.0


class DistillationOptions(BaseModel):
    """The [distillation] table: trained networks whose answers are learned beside the masks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teachers: Annotated[
        tuple[Path, ...],
        BeforeValidator(lambda given: (given,) if isinstance(given, str | Path) else given),
        Field(description="runs or exported models of the same classes; their mean is taught"),
    ] = ()
    weight: Annotated[float, Field(gt=0, description="its share in the loss")] = 1.0
    temperature: Annotated[
        float, Field(gt=0, le=20, description="by which the logits of both are divided")
    ] = 1.0
    flip: Annotated[
        bool, Field(description="teachers also answer the mirror image, at twice the price")
    ] = False


class OptimizerOptions(BaseModel):
    """The [optimizer] table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[
        Literal["adamw", "sgd"],
        Field(description="AdamW (Loshchilov and Hutter 2019) or SGD with Nesterov momentum"),
    ] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, description="the highest learning rate")] = 1e-3
    encoder_lr_multiplier: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="the encoder's learning rate is this share of it; fc6 and fc7 have all of "
            "it",
        ),
    ] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1, description="of SGD")] = 0.9
    weight_decay: Annotated[
        float, Field(ge=0, description="decoupled; not on biases and BatchNorm")
    ] = 0.01
    decay: Annotated[Decay, Field(description="how the learning rate falls after warm-up")] = (
        "cosine"
    )
    warmup_steps: Annotated[
        int, Field(ge=0, description="steps of linear warm-up to the highest rate")
    ] = 100
    clip_norm: Annotated[
        float, Field(ge=0, description="longest gradient, by its global norm; 0 clips nothing")
    ] = 0.0
