"""What a recipe can say about a network. Knows nothing of Keras, so that a command line can be read without it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Upsampling = Literal["nearest", "bilinear", "transposed"]


class NetworkOptions(BaseModel):
    """The [network] table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Literal["unet"], Field(description="the network's name")] = "unet"
    encoder: Annotated[
        Literal["plain", "mobilenet_v2"], Field(description="the contracting path")
    ] = "plain"
    width: Annotated[
        int, Field(ge=1, le=512, description="features at full resolution, plain encoder only")
    ] = 64
    upsampling: Annotated[Upsampling, Field(description="how the decoder goes up")] = "transposed"
    weights: Annotated[
        str | None,
        Field(description="the encoder's start: a weights file, 'imagenet', or nothing for random"),
    ] = None
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="dropped share of the coarsest features")
    ] = 0.0

    @model_validator(mode="after")
    def _weights_have_an_encoder(self) -> Self:
        if self.weights is not None and self.encoder == "plain":
            raise ValueError(
                "the plain encoder has no trained weights; take encoder = 'mobilenet_v2' or no weights"
            )
        return self
