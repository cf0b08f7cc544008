"""What the catalogue asks of a loaded model, and of whoever loads one. It knows neither engines nor
batches.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from service.catalogue.store import Artefact
from service.domain.model import Model


class CannotLoadError(Exception):
    """This machine, as it is set, cannot load the model. The text says why, and what to do."""


@dataclass(frozen=True)
class RuntimeFacts:
    """What runs a model, as `GET /models` tells it. `best_batch` is in images; `light_class_maps`
    and `logits_factor` are what an engine says of itself.
    """

    name: str
    reason: str
    device: str
    device_reason: str
    precision: str
    best_batch: int
    light_class_maps: bool = False
    logits_factor: int = 0


class Instance(Protocol):
    """One loaded model. Used on the event loop only."""

    @property
    def model(self) -> Model: ...

    @property
    def facts(self) -> RuntimeFacts: ...

    @property
    def stuck_seconds(self) -> float:
        """How long the longest of the batches that run now has been running; 0 when none does."""
        ...

    @property
    def waiting_images(self) -> int:
        """Images accepted and not yet answered."""
        ...

    @property
    def waiting_bytes(self) -> int: ...

    async def warm_up(self) -> None:
        """Run what is set up once. Raises ContractError where the model does not do what its
        contract says.
        """
        ...

    async def close(self) -> None:
        """Refuse what still waits, and give the memory back."""
        ...


InstanceT = TypeVar("InstanceT", bound=Instance)
InstanceT_co = TypeVar("InstanceT_co", bound=Instance, covariant=True)


class InstanceLoader(Protocol[InstanceT_co]):
    """Has a model loaded, in this process or elsewhere."""

    async def __call__(self, artefact: Artefact, model: Model) -> InstanceT_co:
        """The model, not yet warm. Raises CannotLoadError and ContractError for what another
        attempt cannot change; whatever else it raises may pass.
        """
        ...
