"""What the answers look like in operation, by model: classes, confidence, atypical pictures, and
how far the classes' shares have moved from those on the model's own pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.domain.model import Model
from service.domain.observation import Observation

MOST_CLASSES = 50  # of a model with more, the rest is summed
REST = "_rest"
CONFIDENCES = (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 1.0)

_WINDOW_IMAGES = 200  # over which shares are averaged, the newer ones counting more
_LEAST_IMAGES = 20  # before that the distance says more of one picture than of what is sent
_LEAST_SHARE = 1e-4


class ObservedMetrics:
    """Registered in `registry`; told of every answered image."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: dict[str, _OfModel] = {}
        self._pixels = Counter(
            "segserve_class_pixels",
            "Pixels given each class, estimated on a grid.",
            ["model", "class"],
            registry=registry,
        )
        self._images = Counter(
            "segserve_class_images",
            "Images in which each class was found.",
            ["model", "class"],
            registry=registry,
        )
        self._confidence = Histogram(
            "segserve_image_confidence",
            "Mean confidence of an image.",
            ["model"],
            buckets=CONFIDENCES,
            registry=registry,
        )
        self._atypical = Counter(
            "segserve_atypical_images",
            "Images further from the model's own than 99 % of those.",
            ["model"],
            registry=registry,
        )
        self._compared = Counter(
            "segserve_compared_images",
            "Images that were compared with the model's own.",
            ["model"],
            registry=registry,
        )
        self._psi = Gauge(
            "segserve_class_share_psi",
            "Population stability index of the classes' shares over about 200 images against those "
            "on the model's own.",
            ["model"],
            registry=registry,
        )

    def answered(self, model: Model, observation: Observation) -> None:
        of_model = self._models.get(model.id)
        if of_model is None:
            of_model = self._models[model.id] = self._begin(model)
        for label, share in _labelled(of_model.labels, observation.class_shares):
            if share:
                of_model.pixels[label].inc(share * observation.pixels)
                of_model.images[label].inc()
        if observation.confidence is not None:
            self._confidence.labels(model.id).observe(observation.confidence)
        if observation.typicality is not None:
            self._compared.labels(model.id).inc()
            if observation.typicality.score > 1:
                self._atypical.labels(model.id).inc()
        reference = model.contract.reference
        if reference is not None:
            of_model.add(observation.class_shares)
            if of_model.seen >= _LEAST_IMAGES:
                index = stability_index(of_model.shares, reference.class_shares)
                self._psi.labels(model.id).set(index)

    def _begin(self, model: Model) -> "_OfModel":
        labels = [one.name for one in model.contract.classes[:MOST_CLASSES]]
        if len(model.contract.classes) > MOST_CLASSES:
            labels.append(REST)
        if model.contract.reference is not None:  # a rate needs its zero
            self._atypical.labels(model.id)
        return _OfModel(
            labels,
            {label: self._pixels.labels(model.id, label) for label in labels},
            {label: self._images.labels(model.id, label) for label in labels},
            [0.0] * len(model.contract.classes),
        )


@dataclass
class _OfModel:
    labels: Sequence[str]
    pixels: dict[str, Counter]
    images: dict[str, Counter]
    shares: list[float] = field(default_factory=list)
    seen: int = 0

    def add(self, shares: Sequence[float]) -> None:
        self.seen += 1
        weight = max(1 / self.seen, 1 / _WINDOW_IMAGES)
        self.shares = [
            old + weight * (new - old) for old, new in zip(self.shares, shares, strict=True)
        ]


def stability_index(shares: Sequence[float], usual: Sequence[float]) -> float:
    """Population stability index: Σ (p - q) ln(p / q). Below 0.1 nothing has moved, above 0.25 much
    has. A share below 0.01 % counts as that.
    """
    pairs = [
        (max(p, _LEAST_SHARE), max(q, _LEAST_SHARE)) for p, q in zip(shares, usual, strict=True)
    ]
    return sum((p - q) * math.log(p / q) for p, q in pairs)


def _labelled(labels: Sequence[str], shares: Sequence[float]) -> list[tuple[str, float]]:
    """Each label's share; the last one's is that of all classes from there on."""
    last = len(labels) - 1
    return [*zip(labels[:last], shares[:last], strict=True), (labels[last], sum(shares[last:]))]
