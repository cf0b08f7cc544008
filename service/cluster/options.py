"""How a cluster is laid out and how the command line says so. Known without Ray being there."""

import argparse
from importlib.util import find_spec
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.contract.faults import first_fault
from service.settings import SettingError

ADDRESS_HELP = (
    "run on a Ray cluster: the one at ADDRESS (host:port), or the one that this machine is a node "
    "of, or else one of this machine alone"
)
MISSING = (
    "--ray needs Ray, which is not installed. In a checkout say `make ray`; elsewhere install the "
    "extra, pip install 'segserve[cpu,ray]', on every node."
)


class ServeLayout(BaseModel):
    """Replicas of the service on Ray Serve: a flag of `segserve serve --ray` each, and an argument
    in a config file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_http_replicas: int = Field(1, ge=1, description="Fewest processes that decode and encode.")
    max_http_replicas: int = Field(1, ge=1, description="Most processes that decode and encode.")
    http_cpus: float = Field(1.0, ge=0, description="CPUs that each of them reserves.")
    images_per_http: int = Field(
        16, ge=1, description="Requests at one of them beyond which another one is started."
    )
    min_engine_replicas: int = Field(1, ge=1, description="Fewest processes that own models.")
    max_engine_replicas: int = Field(1, ge=1, description="Most processes that own models.")
    engine_cpus: float = Field(1.0, ge=0, description="CPUs that each of them reserves.")
    engine_gpus: float = Field(0.0, ge=0, description="GPUs that each of them reserves.")
    images_per_engine: int = Field(
        4,
        ge=1,
        description="Images at one of them, waiting or running, beyond which another one is "
        "started.",
    )
    upscale_delay_seconds: float = Field(
        5.0,
        ge=0,
        description="How long there must be more than that before another one is started.",
    )
    downscale_delay_seconds: float = Field(
        120.0, ge=0, description="How long there must be less than that before one is let go."
    )
    models_per_engine: int = Field(
        4, ge=1, description="Most models in one of them; the least recently used one is unloaded."
    )
    http_on_every_node: bool = Field(
        True, description="Listen on every node with a replica; false for the head node alone."
    )


class BulkLayout(BaseModel):
    """Actors of a bulk run on Ray Data: a flag of `segserve predict --ray` each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actors: int = Field(
        0,
        ge=0,
        description="Most processes with the model; 0 for as many as the cluster has room for.",
    )
    cpus: float = Field(1.0, ge=0, description="CPUs that each of them reserves.")
    gpus: float = Field(0.0, ge=0, description="GPUs that each of them reserves.")
    images_per_task: int = Field(
        64, ge=1, description="Images that are done, noted, and lost with a node, together."
    )


Layout = TypeVar("Layout", ServeLayout, BulkLayout)


def flag_of(field: str) -> str:
    return f"--ray-{field.replace('_', '-')}"


def add_ray_flags(parser: argparse._ActionsContainer, layout: type[BaseModel]) -> None:
    """Add `--ray [ADDRESS]` and a flag for each field of `layout`."""
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=ADDRESS_HELP)
    for name, field in layout.model_fields.items():
        parser.add_argument(
            flag_of(name),
            dest=f"ray_{name}",
            metavar=name.split("_")[-1].upper(),
            help=f"{field.description} (default: {field.default})",
        )


def layout_of(given: argparse.Namespace, layout: type[Layout]) -> Layout | None:
    """What the flags say; None without `--ray`. Raises SettingError."""
    values = {name: getattr(given, f"ray_{name}") for name in layout.model_fields}
    said = {name: value for name, value in values.items() if value is not None}
    if given.ray is None:
        if said:
            raise SettingError(f"{flag_of(next(iter(said)))} goes with --ray alone.")
        return None
    if find_spec("ray") is None:
        raise SettingError(MISSING)
    try:
        return layout.model_validate(said)
    except ValidationError as error:
        fault = first_fault(error)
        raise SettingError(f"{flag_of(fault.place)} is {fault.given!r}: {fault.message}") from None
