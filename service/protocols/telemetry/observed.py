"""What the answers look like in operation, by model: classes, confidence, atypical pictures, and
how far the classes' shares have moved from those on the model's own pictures.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.domain.model import Model
from service.domain.observation import Observation

MOST_CLASSES = 50  # of a model with more, the rest is summed
REST = "_rest"
CONFIDENCES = (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 1.0, math.inf)

_WINDOW_IMAGES = 200  # over which shares are averaged, the newer ones counting more
_LEAST_IMAGES = 20  # before that the distance says more of one picture than of what is sent
_LEAST_SHARE = 1e-4


class ObservedMetrics(Collector):
    """Registered in `registry`; told of every answered image.

    An image moves two numbers of each of its classes, which as counters of the library's would be a
    tenth of what the event loop does for it: they are added up here, and made a family when read.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: dict[str, _OfModel] = {}
        registry.register(self)

    def answered(self, model: Model, observation: Observation) -> None:
        of_model = self._models.get(model.id)
        if of_model is None:
            of_model = self._models[model.id] = _OfModel.begin(model)
        of_model.add(observation)

    def collect(self) -> Iterator[Metric]:
        pixels = CounterMetricFamily(
            "segserve_class_pixels",
            "Pixels given each class, estimated on a grid.",
            labels=["model", "class"],
        )
        images = CounterMetricFamily(
            "segserve_class_images",
            "Images in which each class was found.",
            labels=["model", "class"],
        )
        confidence = HistogramMetricFamily(
            "segserve_image_confidence", "Mean confidence of an image.", labels=["model"]
        )
        atypical = CounterMetricFamily(
            "segserve_atypical_images",
            "Images further from the model's own than 99 % of those.",
            labels=["model"],
        )
        compared = CounterMetricFamily(
            "segserve_compared_images",
            "Images that were compared with the model's own.",
            labels=["model"],
        )
        psi = GaugeMetricFamily(
            "segserve_class_share_psi",
            "Population stability index of the classes' shares over about 200 images against those "
            "on the model's own.",
            labels=["model"],
        )
        for id, found in self._models.items():
            for label, of_pixels, of_images in found.labelled():
                pixels.add_metric([id, label], of_pixels)
                images.add_metric([id, label], of_images)
            if any(found.confidences):
                confidence.add_metric([id], found.buckets(), found.confidence_sum)
            if found.usual is not None:  # a rate needs its zero
                atypical.add_metric([id], found.atypical)
                compared.add_metric([id], found.compared)
                if found.seen >= _LEAST_IMAGES:
                    psi.add_metric([id], stability_index(found.shares, found.usual))
        yield from (pixels, images, confidence, atypical, compared, psi)


@dataclass
class _OfModel:
    """Sums of one version. `shares` are the classes' over the last images, `usual` those on the
    model's own; `confidences` counts images by CONFIDENCES, each in the first bound it fits below.
    """

    labels: Sequence[str]
    usual: Sequence[float] | None
    shares: list[float]
    pixels: list[float]
    images: list[int]
    confidences: list[int] = field(default_factory=lambda: [0] * len(CONFIDENCES))
    confidence_sum: float = 0.0
    seen: int = 0
    compared: int = 0
    atypical: int = 0

    @classmethod
    def begin(cls, model: Model) -> "_OfModel":
        contract = model.contract
        labels = [one.name for one in contract.classes[:MOST_CLASSES]]
        if len(contract.classes) > MOST_CLASSES:
            labels.append(REST)
        usual = None if contract.reference is None else contract.reference.class_shares
        count = len(labels)
        return cls(labels, usual, [0.0] * len(contract.classes), [0.0] * count, [0] * count)

    def add(self, observation: Observation) -> None:
        shares, pixels, images = observation.class_shares, self.pixels, self.images
        if len(shares) > MOST_CLASSES:
            shares = (*shares[:MOST_CLASSES], sum(shares[MOST_CLASSES:]))
        for place, share in enumerate(shares):
            if share:
                pixels[place] += share * observation.pixels
                images[place] += 1
        if observation.confidence is not None:
            self.confidences[bisect_left(CONFIDENCES, observation.confidence)] += 1
            self.confidence_sum += observation.confidence
        if observation.typicality is not None:
            self.compared += 1
            self.atypical += observation.typicality.score > 1
        self.seen += 1
        if self.usual is not None:
            new = max(1 / self.seen, 1 / _WINDOW_IMAGES)
            pairs = zip(self.shares, observation.class_shares, strict=True)
            self.shares = [old + new * (share - old) for old, share in pairs]

    def labelled(self) -> Iterator[tuple[str, float, int]]:
        return zip(self.labels, self.pixels, self.images, strict=True)

    def buckets(self) -> list[tuple[str, float]]:
        """As a histogram has them: each bound with the images up to it."""
        together, found = 0, []
        for bound, count in zip(CONFIDENCES, self.confidences, strict=True):
            together += count
            found.append(("+Inf" if bound == math.inf else str(bound), float(together)))
        return found


def stability_index(shares: Sequence[float], usual: Sequence[float]) -> float:
    """Population stability index: Σ (p - q) ln(p / q). Below 0.1 nothing has moved, above 0.25 much
    has. A share below 0.01 % counts as that.
    """
    pairs = [
        (max(p, _LEAST_SHARE), max(q, _LEAST_SHARE)) for p, q in zip(shares, usual, strict=True)
    ]
    return sum((p - q) * math.log(p / q) for p, q in pairs)
