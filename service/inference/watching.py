"""What is told of each picture's result, beside the answer to whoever sent it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from service.domain.model import Model
from service.domain.observation import Observation
from service.domain.segmentation import Need
from service.domain.source import SourceInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeenResult:
    """One picture and its result, before `classes` leaves any out.

    `upload` is the file as it came, of the type named `type` (a row of the table of inputs), which
    the caller asked to be seen at `scale` and `intensity`, as `OutputOptions` has them.
    `class_map` (H, W) uint8 belongs to the answer: what is to be kept is copied.
    """

    model: Model
    upload: bytes | bytearray | memoryview
    type: str
    info: SourceInfo
    scale: str
    intensity: str
    class_map: NDArray[np.uint8]
    observation: Observation


class Watcher(Protocol):
    """Sees the results of files. What it does with them must hold up nobody."""

    @property
    def need(self) -> Need:
        """What the engine must compute for it, whatever a caller asks for, where no logits are at
        hand that it could be seen from.
        """
        ...

    def see(self, result: SeenResult) -> str | None:
        """The id under which the picture is kept; None where it is not.

        Called on a worker or on a thread of an engine's; returns at once, and does not raise.
        """
        ...


def larger_need(one: Need, other: Need) -> Need:
    """What covers both."""
    order: tuple[Need, ...] = get_args(Need)
    return max(one, other, key=order.index)


@dataclass(frozen=True)
class Watchers:
    """Several as one. What one of them raises is logged, and no request fails by it."""

    each: Sequence[Watcher]

    @property
    def need(self) -> Need:
        needs: list[Need] = [watcher.need for watcher in self.each]
        return reduce(larger_need, needs, "class_map")

    def see(self, result: SeenResult) -> str | None:
        """As `Watcher.see` says; the first id that one of them gives."""
        ids = [self._tell(watcher, result) for watcher in self.each]
        return next((id for id in ids if id is not None), None)

    def _tell(self, watcher: Watcher, result: SeenResult) -> str | None:
        try:
            return watcher.see(result)
        except Exception:
            log.exception("a result of %s was not looked at", result.model.id)
            return None
