"""Choose an engine by name. The engine's own library is imported only when one is asked for."""

import os
from collections.abc import Callable
from pathlib import Path

from models.contract import Contract
from service.engines.engine import Engine


def load_engine(name: str, artefact: Path, contract: Contract, threads: int) -> Engine:
    """Load `artefact` with the engine `name`, "auto" for the best one there is. Blocks while the
    model loads.

    Raises ValueError for an unknown name.
    """
    if name not in ENGINES:
        raise ValueError(f"no engine is called {name!r}; there are {', '.join(ENGINES)}")
    return ENGINES[name](artefact, contract, threads)


def _tensorflow(artefact: Path, contract: Contract, threads: int) -> Engine:
    # Read when the library is imported. Its notes about instruction sets are no lines of our log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from service.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(artefact, contract, threads=threads)


ENGINES: dict[str, Callable[[Path, Contract, int], Engine]] = {
    "auto": _tensorflow,
    "tensorflow": _tensorflow,
}
