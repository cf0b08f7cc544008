"""A training as a TOML file; every field can be set on the command line too."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.architectures.options import NetworkOptions
from models.contract import Name, UserError
from models.contract.faults import first_fault
from models.contract.preprocessing import read_scale
from models.data.options import AugmentationOptions, LayoutOptions, SplitOptions
from models.training.options import (
    ClassWeighting,
    DistillationOptions,
    LossOptions,
    OptimizerOptions,
    Precision,
)
from models.training.renamed import with_new_names


class RecipeError(UserError):
    """The recipe cannot be read, or a field is wrong. The text names the field and the limit."""


def _checked_scale(text: str) -> str:
    read_scale(text)
    return text


class Recipe(BaseModel):
    """One training, from data to scores."""

    # A model called 2024 is a number to TOML.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: Annotated[Name, Field(description="the model's name in URLs")]
    data: Annotated[Path, Field(description="the dataset folder")]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="of weights, order and views")] = 1
    epochs: Annotated[int, Field(ge=1, description="passes over the training split")] = 30
    batch_size: Annotated[int, Field(ge=1, description="images a step")] = 8
    class_weights: Annotated[
        ClassWeighting, Field(description="how rare classes are weighted in the loss")
    ] = "none"
    precision: Annotated[
        Precision, Field(description="of the arithmetic; weights and artefact stay float32")
    ] = "float32"
    ema_decay: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="decay of the weights' exponential moving average, which is scored and "
            "exported; 0: none",
        ),
    ] = 0.0
    eval_every: Annotated[
        int,
        Field(ge=1, description="epochs from one validation to the next; the last epoch has one"),
    ] = 1
    frozen_encoder_epochs: Annotated[
        int, Field(ge=0, description="first epochs in which the encoder does not learn")
    ] = 0
    deep_supervision: Annotated[
        bool, Field(description="losses on the decoder's coarser levels too")
    ] = False
    patience: Annotated[
        int,
        Field(ge=0, description="stop after so many epochs without a better val mIoU; 0: never"),
    ] = 0
    deterministic: Annotated[
        bool, Field(description="the same run again gives the same weights")
    ] = True
    scale: Annotated[
        str,
        AfterValidator(_checked_scale),
        Field(
            description="the size at which serving shows pictures: native, longest=480, a pixel's "
            "side such as 0.5µm, or auto, by the data"
        ),
    ] = "auto"
    split: SplitOptions = SplitOptions()
    layout: LayoutOptions = LayoutOptions()
    network: NetworkOptions = NetworkOptions()
    augmentation: AugmentationOptions = AugmentationOptions()
    loss: LossOptions = LossOptions()
    distillation: DistillationOptions = DistillationOptions()
    optimizer: OptimizerOptions = OptimizerOptions()

    @model_validator(mode="after")
    def _waits_for_scores_that_come(self) -> Self:
        if self.patience and not self.split.validation:
            raise ValueError(
                f"patience waits {self.patience} epochs for a better val mIoU, and with "
                "split.validation = false there is none; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _learns_from_the_first_step(self) -> Self:
        first = min(term.start for term in self.loss.terms)
        if first and not self.distillation.teachers:
            raise ValueError(
                f"all loss.terms have a start, the first {first:g}, and before it nothing would be "
                "learned; leave out one term's start, such as cross_entropy's"
            )
        return self


def read_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe and lay `changes`, nested as the recipe is, over it. Raises RecipeError."""
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(
            f"there is neither a recipe nor a folder at {path}; the project's recipes are in "
            "models/recipes/"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    try:
        return recipe_of(with_new_names(document, str(path)), changes or {})
    except (RecipeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error


def recipe_of(document: Mapping[str, Any], changes: Mapping[str, Any]) -> Recipe:
    """A recipe from nested tables, `changes` laid over `document`. Raises RecipeError that names
    the field."""
    try:
        return Recipe.model_validate(_merged(document, changes))
    except ValidationError as error:
        raise RecipeError(str(first_fault(error))) from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged
