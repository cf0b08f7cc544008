"""What a comparison of two versions found."""

from dataclasses import dataclass, field
from pathlib import Path

from service.domain.comparison import Agreement


@dataclass(frozen=True)
class Pair:
    """One picture. `image` is relative to the job's folder; the confidences are of the first and of
    the second version.
    """

    image: str
    agreement: Agreement
    confidences: tuple[float, float]


@dataclass
class Compared:
    """`pairs` begins with those that differ most; `failures` pairs a path with its fault."""

    names: tuple[str, ...]
    pairs: list[Pair] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def agreement(self) -> Agreement:
        total = Agreement.none(len(self.names))
        return sum((pair.agreement for pair in self.pairs), total)

    @property
    def confidences(self) -> tuple[float, float]:
        """The means over the pictures."""
        count = max(1, len(self.pairs))
        first, second = (sum(pair.confidences[i] for pair in self.pairs) / count for i in (0, 1))
        return first, second
