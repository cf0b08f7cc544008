"""Choose a runtime for an artefact and a machine.

`auto` takes the fastest that the artefact holds files for: one that has a GPU to compute on, else
the first of the table that nothing speaks against. bf16 is never taken unasked: int8 files come
with the accuracy that was checked when they were made, and nothing of the kind stands behind bf16.
"""

import logging
from pathlib import Path

from models.contract import Contract
from service.runtimes import RUNTIMES, Runtime
from service.runtimes.engine import Engine, EngineOptions, EngineUnavailableError

logger = logging.getLogger(__name__)


def load_engine(artefact: Path, contract: Contract, options: EngineOptions) -> Engine:
    """Load `artefact` with the engine and precision of `options`. Blocks while the model loads.

    Raises EngineUnavailableError where they cannot run it here.
    """
    if options.name != "auto":
        chosen, reason = RUNTIMES[options.name], f"SEGSERVE_ENGINE says {options.name}"
        return chosen.run(artefact, contract, options, reason)
    able = [row for row in RUNTIMES.values() if options.precision in ("auto", *row.precisions)]
    if len(able) == 1:
        reason = f"SEGSERVE_PRECISION says {options.precision}"
        return able[0].run(artefact, contract, options, reason)
    return _on_gpu(able, artefact, contract, options) or _fastest(able, artefact, contract, options)


def _on_gpu(
    able: list[Runtime], artefact: Path, contract: Contract, options: EngineOptions
) -> Engine | None:
    """The first that computes on a GPU, or that shows one and has nobody beside it to do better."""
    for row in able:
        if row.lacks(contract, options) is not None or not row.has_gpu():
            continue
        engine = row.run(artefact, contract, options, "it has a GPU to compute on")
        others = [other for other in able if other is not row]
        if engine.device != "CPU" or all(other.obstacle(contract, options) for other in others):
            return engine
        logger.warning("a GPU is shown and %s does not use it: %s", row.name, engine.device_reason)
        engine.close()
    return None


def _fastest(
    able: list[Runtime], artefact: Path, contract: Contract, options: EngineOptions
) -> Engine:
    obstacles: list[str] = []
    for row in able:
        obstacle = row.obstacle(contract, options)
        if obstacle is None:
            reason = "; ".join(obstacles) or row.advantage
            return row.run(artefact, contract, options, reason)
        obstacles.append(obstacle)
    raise EngineUnavailableError("; ".join(obstacles))
