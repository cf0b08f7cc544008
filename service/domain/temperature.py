"""What a model's temperature makes of its probabilities: logits are divided by it, which changes no
class.

The strongest class is found first, by what the network gave; a model that has a temperature for
each class takes that of a pixel's strongest.
"""

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, StoredPrecision

Temperatures = NDArray[np.float32]

_LEAST_PROBABILITY = np.finfo(np.float32).tiny


def temperatures_of(contract: Contract, precision: str) -> Temperatures | None:
    """One a class (classes,), or one for all (1,), of an engine that computes in `precision`; None
    where there is none or it is 1.
    """
    stored: StoredPrecision = "int8" if precision == "int8" else "fp32"
    fitted = (contract.calibration or {}).get(stored)
    if fitted is None or contract.overlap is not None:  # of classes that exclude each other
        return None
    values = np.asarray(fitted.temperatures(len(contract.classes)), np.float32)
    if (values == 1).all():
        return None
    return values[:1] if (values == values[0]).all() else values


def powers_of(
    logits: NDArray[np.float32], ids: NDArray[np.uint8], temperatures: Temperatures | None
) -> NDArray[np.float32]:
    """e to the power of the logits (classes, …) less the strongest one's, each pixel's divided by
    the temperature of its class in `ids` (…). Written over `logits`.
    """
    np.subtract(logits, logits.max(axis=0), out=logits)
    if temperatures is not None:
        logits /= temperatures if len(temperatures) == 1 else temperatures[ids]
    return np.exp(logits, out=logits)


def calibrated(
    probabilities: NDArray[np.float32], ids: NDArray[np.uint8], temperatures: Temperatures
) -> NDArray[np.float32]:
    """Probabilities (…, classes) with the temperature of each pixel's class in `ids` (…)."""
    planes = np.moveaxis(probabilities, -1, 0)
    logits = np.log(np.maximum(planes, _LEAST_PROBABILITY))
    powers = powers_of(logits, ids, temperatures)
    powers /= powers.sum(axis=0)
    return np.moveaxis(powers, 0, -1)


def uncertainty_of(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Entropy (…) of probabilities (…, classes) as a part of the most that it can be, × 255."""
    planes = np.moveaxis(probabilities, -1, 0)
    entropy = -(planes * np.log(np.maximum(planes, _LEAST_PROBABILITY))).sum(axis=0)
    return to_uncertainty(entropy, len(planes))


def to_uncertainty(entropy: NDArray[np.float32], classes: int) -> NDArray[np.uint8]:
    """Entropy in nats as a part of that of equal probabilities, × 255."""
    most = np.log(classes) if classes > 1 else 1.0
    values: NDArray[np.uint8] = np.rint(np.clip(entropy / most, 0, 1) * 255).astype(np.uint8)
    return values
