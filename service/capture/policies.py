"""Which pictures are kept: a table of policies, each with the one number that an operator sets."""

import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.segmentation import Need
from service.inference.watching import SeenResult

_LEAST_PICTURES = 100  # seen before a class is called rare, where the contract does not know


class Policy(Protocol):
    """Called on any thread."""

    def keeps(self, result: SeenResult) -> bool: ...


@dataclass
class Every:
    """One picture in `number`."""

    number: float
    _seen: "itertools.count[int]" = field(default_factory=itertools.count)

    def keeps(self, _result: SeenResult) -> bool:
        return next(self._seen) % int(self.number) == 0


@dataclass(frozen=True)
class LowConfidence:
    """Pictures whose mean confidence is below `below`."""

    below: float

    def keeps(self, result: SeenResult) -> bool:
        confidence = result.observation.confidence
        return confidence is not None and confidence < self.below


@dataclass(frozen=True)
class Atypical:
    """Pictures further out than `above`; 1 is where 99 % of the model's own lie within."""

    above: float

    def keeps(self, result: SeenResult) -> bool:
        found = result.observation.typicality
        return found is not None and found.score > self.above


@dataclass
class RareClass:
    """Pictures of which a class has at least `share` that usually has less: by the contract's
    reference, else by what came so far.
    """

    share: float
    _sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keeps(self, result: SeenResult) -> bool:
        shares = np.array(result.observation.class_shares)
        usual = self._usual(result, shares)
        if usual is None:
            return False
        return bool(((usual < self.share) & (shares >= self.share)).any())

    def _usual(self, result: SeenResult, shares: NDArray[np.float64]) -> NDArray[np.float64] | None:
        reference = result.model.contract.reference
        if reference is not None:
            return np.array(reference.class_shares)
        model = result.model.id
        with self._lock:
            count = self._counts.get(model, 0)
            sums = self._sums.setdefault(model, np.zeros(len(shares)))
            usual = sums / count if count >= _LEAST_PICTURES else None
            self._counts[model] = count + 1
            self._sums[model] = sums + shares
        return usual


class Never:
    """By what another part finds out later, such as a second version's answer."""

    def keeps(self, _result: SeenResult) -> bool:
        return False


@dataclass(frozen=True)
class Row:
    """One line of the table: the number's bounds, its unit in a sentence, and what it needs."""

    make: Callable[[float], Policy]
    least: float
    most: float
    says: str
    need: Need = "class_map"
    whole: bool = False


DISAGREEMENT = "disagreement"
ROWS: Mapping[str, Row] = {
    "every": Row(Every, 1, 1e9, "one picture in so many", whole=True),
    "confidence": Row(LowConfidence, 0, 1, "a mean confidence below it", need="confidence"),
    "atypical": Row(Atypical, 0, 1e9, "the distance from the model's own pictures that it exceeds"),
    "rare": Row(RareClass, 0, 1, "the share of a class that usually has less"),
    DISAGREEMENT: Row(lambda _: Never(), 0, 1, "the share of pixels on which the shadow differs"),
}


@dataclass(frozen=True)
class Policies:
    """Those that were asked for, by name, in their order, with their numbers."""

    by_name: Mapping[str, Policy]
    numbers: Mapping[str, float]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Policies":
        """Read such as "confidence=0.8". Raises ValueError with a sentence."""
        numbers: dict[str, float] = {}
        for text in texts:
            name, equals, number = text.partition("=")
            row = ROWS.get(name)
            if row is None or not equals:
                raise ValueError(f"{text!r} is not one of {examples()}")
            if name in numbers:
                raise ValueError(f"{name} is said twice; say it once")
            numbers[name] = _number(text, number, row)
        policies: dict[str, Any] = {name: ROWS[name].make(n) for name, n in numbers.items()}
        return cls(policies, numbers)

    @property
    def need(self) -> Need:
        needs = {ROWS[name].need for name in self.by_name}
        return "confidence" if "confidence" in needs else "class_map"

    def first_that_keeps(self, result: SeenResult) -> str | None:
        """Its name. All of them are asked, for some of them count."""
        names = [name for name, policy in self.by_name.items() if policy.keeps(result)]
        return names[0] if names else None


def examples() -> str:
    """The policies in a sentence."""
    said = [f"{name}=… ({row.says})" for name, row in ROWS.items()]
    return f"{', '.join(said[:-1])} and {said[-1]}"


def _number(text: str, number: str, row: Row) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    fits = row.least <= value <= row.most and (not row.whole or value == int(value))
    if not fits:  # NaN too
        kind = "whole number" if row.whole else "number"
        raise ValueError(f"{text!r} needs a {kind} from {row.least:g} to {row.most:g}: {row.says}")
    return value
