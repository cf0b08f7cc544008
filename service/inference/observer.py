"""What the pipeline tells whoever measures it. `api/metrics.py` listens with Prometheus."""

from typing import Literal, Protocol

from service.domain.model import Model
from service.domain.observation import Observation

Stage = Literal["decode", "queue", "infer", "encode"]
DropReason = Literal["deadline", "cancelled"]


class Observer(Protocol):
    """Called on the event loop; must return at once, and not raise."""

    def stage(self, model_id: str, stage: Stage, seconds: float) -> None:
        """One answered image spent `seconds` in `stage`."""
        ...

    def answered(self, model: Model, observation: Observation) -> None:
        """One image was answered, of which this was found."""
        ...

    def batch(self, model_id: str, images: int) -> None:
        """The engine was given a batch of `images` images or tiles."""
        ...

    def dropped(self, model_id: str, reason: DropReason) -> None:
        """An image or tile left the queue unserved: past its deadline, or its caller gone."""
        ...


class _Silent:
    def stage(self, model_id: str, stage: Stage, seconds: float) -> None:
        pass

    def answered(self, model: Model, observation: Observation) -> None:
        pass

    def batch(self, model_id: str, images: int) -> None:
        pass

    def dropped(self, model_id: str, reason: DropReason) -> None:
        pass


SILENT: Observer = _Silent()
