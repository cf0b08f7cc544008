"""What can run an artefact, as the table of runtimes has it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from models.contract import Contract
from service.runtimes.engine import Engine, EngineOptions, EngineUnavailableError, Precision

# Loads an artefact; the last argument is why it is this runtime that does.
Load = Callable[[Path, Contract, EngineOptions, str], Engine]


@dataclass(frozen=True)
class Runtime:
    """One row of the table.

    `library` is the package that it needs, which `extras` of ours bring, and which only `load`
    imports. `precisions` are those it computes in, and `refusal` is what to say of others. `lacks`
    says what an artefact would have to hold for these options, or None. `has_gpu` is whether it is
    worth loading to see if it computes on one. `advantage` is why it is taken where nothing speaks
    for another.
    """

    name: str
    library: str
    extras: str
    precisions: tuple[Precision, ...]
    refusal: str
    lacks: Callable[[Contract, EngineOptions], str | None]
    has_gpu: Callable[[], bool]
    advantage: str
    load: Load

    @property
    def is_installed(self) -> bool:
        return find_spec(self.library) is not None

    @property
    def not_installed(self) -> str:
        return f"{self.library} is not installed; the {self.extras}"

    def obstacle(self, contract: Contract, options: EngineOptions) -> str | None:
        """Why it does not run an artefact here, in words that an operator can act on."""
        lacking = self.lacks(contract, options)
        if lacking is None and not self.is_installed:
            return self.not_installed
        return lacking

    def run(
        self, artefact: Path, contract: Contract, options: EngineOptions, reason: str
    ) -> Engine:
        """Load an artefact, `reason` being why this runtime. Raises EngineUnavailableError."""
        if options.precision not in ("auto", *self.precisions):
            raise EngineUnavailableError(self.refusal.format(precision=options.precision))
        if not self.is_installed:
            raise EngineUnavailableError(self.not_installed)
        return self.load(artefact, contract, options, reason)
