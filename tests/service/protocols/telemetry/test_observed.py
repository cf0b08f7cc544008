"""What is added up of the answers, as Prometheus reads it."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from models.contract import SegmentationClass
from models.contract.facts import Reference, Spread
from models.contract.typicality import Typicality
from service.domain.model import Model
from service.domain.observation import Observation
from service.protocols.telemetry.observed import ObservedMetrics
from tests.solvable import contract_with

SPREAD = Spread(mean=0.5, p05=0.2, p50=0.5, p95=0.8)


def model(classes: int, *, reference: bool = False) -> Model:
    shares = (1.0, *[0.0] * (classes - 1))
    usual = Reference(
        split="val",
        images=9,
        class_shares=shares,
        confidence=SPREAD,
        brightness=SPREAD,
        long_side=SPREAD,
    )
    contract = contract_with(
        name="many",
        classes=tuple(
            SegmentationClass(id=one, name=f"c{one}", color=f"#0000{one:02x}")
            for one in range(classes)
        ),
        reference=usual if reference else None,
    )
    return Model(contract, 3)


def seen(shares: dict[int, float], classes: int, **more: Any) -> Observation:
    of_each = tuple(shares.get(one, 0.0) for one in range(classes))
    return Observation(1000, of_each, more.get("confidence"), more.get("typicality"))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ObservedMetrics:
    return ObservedMetrics(registry)


def lines(registry: CollectorRegistry) -> set[str]:
    return set(generate_latest(registry).decode().splitlines())


def test_classes_beyond_fifty_are_summed(
    registry: CollectorRegistry, metrics: ObservedMetrics
) -> None:
    metrics.answered(model(60), seen({0: 0.5, 49: 0.2, 50: 0.1, 59: 0.2}, 60))
    metrics.answered(model(60), seen({0: 1.0}, 60))
    found = lines(registry)
    assert 'segserve_class_pixels_total{class="c0",model="many/3"} 1500.0' in found
    assert 'segserve_class_pixels_total{class="c49",model="many/3"} 200.0' in found
    assert 'segserve_class_images_total{class="_rest",model="many/3"} 1.0' in found
    (rest,) = [line for line in found if line.startswith('segserve_class_pixels_total{class="_r')]
    assert float(rest.split()[-1]) == pytest.approx(300)
    assert sum(line.startswith("segserve_class_images_total") for line in found) == 51


def test_confidences_are_counted_below_their_bounds(
    registry: CollectorRegistry, metrics: ObservedMetrics
) -> None:
    for confidence in (0.25, 0.5, 0.51, 1.0):
        metrics.answered(model(2), seen({1: 1.0}, 2, confidence=confidence))
    metrics.answered(model(2), seen({1: 1.0}, 2))
    found = lines(registry)
    for bound, images in (("0.3", 1), ("0.5", 2), ("0.6", 3), ("0.975", 3), ("1.0", 4)):
        assert (
            f'segserve_image_confidence_bucket{{le="{bound}",model="many/3"}} {images}.0' in found
        )
    assert 'segserve_image_confidence_count{model="many/3"} 4.0' in found
    assert 'segserve_image_confidence_sum{model="many/3"} 2.26' in found


def test_what_is_compared_has_its_zero_and_its_distance(
    registry: CollectorRegistry, metrics: ObservedMetrics
) -> None:
    usual, odd = Typicality(0.4, ()), Typicality(2.5, ("brightness",))
    known = model(2, reference=True)
    metrics.answered(known, seen({0: 1.0}, 2, typicality=usual))
    assert 'segserve_atypical_images_total{model="many/3"} 0.0' in lines(registry)
    assert not any(line.startswith("segserve_class_share_psi{") for line in lines(registry))
    for _ in range(19):
        metrics.answered(known, seen({1: 1.0}, 2, typicality=odd))
    found = lines(registry)
    assert 'segserve_atypical_images_total{model="many/3"} 19.0' in found
    assert 'segserve_compared_images_total{model="many/3"} 20.0' in found
    (psi,) = [line for line in found if line.startswith("segserve_class_share_psi{")]
    assert float(psi.split()[-1]) > 0.25


def test_a_model_without_a_reference_is_compared_with_nothing(
    registry: CollectorRegistry, metrics: ObservedMetrics
) -> None:
    metrics.answered(model(2), seen({0: 1.0}, 2))
    assert not any(line.startswith("segserve_compared_images_total{") for line in lines(registry))
