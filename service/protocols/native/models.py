"""GET /models and GET /models/{name}."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from models.contract import Overlap, Quantization, SegmentationClass, Training
from service.catalogue.registry import UnknownModelError
from service.catalogue.slot import ModelState
from service.protocols.auth import require_key
from service.protocols.context import context_of
from service.protocols.native import openapi

router = APIRouter(tags=["models"], dependencies=[Depends(require_key)])


class EngineInfo(BaseModel):
    """What runs the model."""

    name: str = Field(examples=["openvino"])
    reason: str = Field(
        description="Why this engine and precision.",
        examples=[
            "on a CPU OpenVINO is the fastest; int8 is the fastest that the artefact holds",
        ],
    )
    device: str = Field(examples=["CPU"])
    device_reason: str = Field(
        description="Why it runs there.",
        examples=["neither machine nor container runtime shows a GPU"],
    )
    precision: str = Field(description="The arithmetic.", examples=["int8"])
    best_batch: int = Field(
        description="Images beyond which a larger batch gains nothing.", examples=[4]
    )


class ContractInfo(BaseModel):
    """What the model promises."""

    classes: list[SegmentationClass]
    background: int | None = Field(
        description="Id of the class that is no class, where there is one."
    )
    ignore: int | None = Field(
        description="Id of pixels that belong to no class, where there is one."
    )
    overlap: Overlap | None = Field(
        description="Where a pixel may be of several classes: the ids of which a class map shows "
        "the first that is there, and the probability above which a class is there."
    )
    channels: Literal[1, 3] = Field(
        description="3 for colour, 1 for gray. Images are brought to it."
    )
    stride: int
    receptive_field_radius: int | None = Field(
        description="Distance in pixels beyond which the picture cannot change the class of a "
        "pixel; null for any."
    )
    architecture: str
    upsampling: str
    parameters: int
    training: Training | None
    quantization: Quantization | None = Field(
        description="How int8 files were made and what they score beside fp32; null where there "
        "are none."
    )
    digest: str = Field(description="SHA-256 over the model's files.")


class ModelInfo(BaseModel):
    """One version of a model."""

    name: str = Field(examples=["street"])
    version: int = Field(examples=[1])
    state: Literal["loading", "ready", "failed", "draining", "unloaded"] = Field(
        description="`unloaded` is loaded when it is asked for."
    )
    error: str | None = Field(
        description="Why it, or what lies on disk in its place, does not serve."
    )
    size_bytes: int = Field(description="Sum of its files.")
    engine: EngineInfo | None = Field(description="Null while it is not loaded.")
    contract: ContractInfo | None = Field(description="Null where it could not be read.")


class ModelList(BaseModel):
    default_model: str | None = Field(
        description="The model of requests that name none.", examples=["street"]
    )
    models: list[ModelInfo]


class ModelDetail(BaseModel):
    name: str
    serving_version: int | None = Field(
        description="The version that answers where none is pinned."
    )
    versions: list[ModelInfo]
    card: str | None = Field(description="The model card of that version, as Markdown.")


@router.get("/models", summary="The models of this server", responses=openapi.MODELS_RESPONSES)
async def list_models(request: Request) -> ModelList:
    """Each model with its classes, its state, and the device that runs it."""
    registry = context_of(request).registry
    return ModelList(
        default_model=registry.default_name, models=[_info_of(state) for state in registry.states()]
    )


@router.get("/models/{name}", summary="One model with its card", responses=openapi.MODEL_RESPONSES)
async def show_model(request: Request, response: Response, name: str) -> ModelDetail:
    """All versions of one model that this server deals with, and the model card of the one that
    answers.
    """
    response.headers["Vary"] = "Accept"  # a browser gets a page here
    states = context_of(request).registry.states()
    versions = [state for state in states if state.name == name]
    if not versions:
        there_are = ", ".join(dict.fromkeys(state.name for state in states)) or "none"
        raise UnknownModelError.among(name, there_are)
    serving = max(
        (s for s in versions if s.serves),
        key=lambda s: s.version,
        default=None,
    )
    return ModelDetail(
        name=name,
        serving_version=serving.version if serving is not None else None,
        versions=[_info_of(state) for state in versions],
        card=serving.card if serving is not None else None,
    )


def _info_of(state: ModelState) -> ModelInfo:
    engine, model = state.engine, state.model
    return ModelInfo(
        name=state.name,
        version=state.version,
        state=state.state,
        error=state.error,
        size_bytes=state.size_bytes,
        engine=None if engine is None else EngineInfo(**asdict(engine)),
        contract=None
        if model is None
        else ContractInfo(
            **model.contract.model_dump(include=set(ContractInfo.model_fields)),
            digest=model.contract.digest,
        ),
    )
