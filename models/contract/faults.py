"""What pydantic finds wrong, in words for whoever wrote the value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_PREFIXES = ("Value error, ", "Assertion failed, ")


class InvalidValues(Protocol):
    """pydantic's ValidationError, or FastAPI's RequestValidationError."""

    def errors(self) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Fault:
    """`place` is the path of the value, such as "network.width", empty for the whole; `given` the
    value."""

    place: str
    message: str
    given: object

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


def first_fault(error: InvalidValues, *, skip: int = 0) -> Fault:
    """The first fault of `error`, its message without a capital and a full stop. `skip` leaves out
    that many first parts of its place."""
    found: Mapping[str, Any] = error.errors()[0]
    message = str(found["msg"])
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    message = message[:1].lower() + message[1:]
    place = ".".join(str(part) for part in found["loc"][skip:])
    return Fault(place, message, found.get("input"))
