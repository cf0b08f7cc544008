"""Which model an answer comes from."""

from dataclasses import dataclass

from models.contract import Contract


@dataclass(frozen=True)
class Model:
    contract: Contract
    version: int

    @property
    def id(self) -> str:
        """The name and version as callers write them: `street/1`."""
        return f"{self.contract.name}/{self.version}"
