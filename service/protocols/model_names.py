"""The models as protocols with one input a model name see them:

`street` takes pixels, `street.file` encoded files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.contract import Contract
from service.catalogue.registry import UnknownModelError
from service.catalogue.slot import ModelState
from service.domain.errors import ModelUnavailableError
from service.protocols.context import AppContext

FILE_SUFFIX: Final = ".file"
_RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Served:
    """A version as one name of it shows it. `selector` is what `Inference` calls it."""

    name: str
    selector: str
    takes_files: bool
    state: ModelState

    @property
    def version(self) -> str:
        return str(self.state.version)

    @property
    def contract(self) -> Contract:
        """Raises ModelUnavailableError while it is not read."""
        if self.state.model is None:
            raise ModelUnavailableError(
                f"{self.state.id} is not loaded. Try again in {_RETRY_SECONDS:.0f} s.",
                _RETRY_SECONDS,
            )
        return self.state.model.contract

    @property
    def is_ready(self) -> bool:
        return self.state.serves


def find(parts: AppContext, name: str, version: str | None = None) -> Served:
    """The version that answers `name`, or the one that is asked for.

    Raises UnknownModelError and ModelUnavailableError.
    """
    states = parts.registry.states()
    takes_files = name.endswith(FILE_SUFFIX) and all(state.name != name for state in states)
    base = name.removesuffix(FILE_SUFFIX) if takes_files else name
    if "/" in base or (version is not None and not (version.isascii() and version.isdigit())):
        raise UnknownModelError(
            f"There is no version {str(version)[:40]!r} of {name[:80]!r}; a version is a number."
        )
    selector = base if not version else f"{base}/{version}"
    answering = parts.registry.check(selector)
    for state in states:
        if state.id == answering:
            return Served(name, selector, takes_files, state)
    raise ModelUnavailableError(f"{answering} was taken away meanwhile. Try again in 1 s.", 1.0)


def states_of(parts: AppContext, name: str) -> list[ModelState]:
    """All versions of what `name` stands for, newest first. Raises UnknownModelError."""
    states = parts.registry.states()
    names = {state.name for state in states}
    base = name if name in names else name.removesuffix(FILE_SUFFIX)
    found = [state for state in states if state.name == base]
    if not found:
        there_are = ", ".join(sorted(names)) or "none"
        raise UnknownModelError(f"There is no model {name[:80]!r}; this server has {there_are}.")
    return sorted(found, key=lambda state: state.version, reverse=True)


def names_of(states: Sequence[ModelState]) -> list[str]:
    """What clients can write for `states`: each model's name, and its name for files where none has
    that already.
    """
    names = list(dict.fromkeys(state.name for state in states))
    return [
        written
        for name in names
        for written in (name, name + FILE_SUFFIX)
        if written == name or written not in names
    ]
