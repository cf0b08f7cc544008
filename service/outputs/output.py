"""What every output is made of: its options, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.domain.segmentation import Need, Segmentation


@dataclass(frozen=True)
class Encoded:
    """A response body with the media type and the file extension (".png") that belong to it."""

    body: bytes
    media_type: str
    extension: str


class OutputOptions(BaseModel):
    """What a caller may choose, whatever the format; each format adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Names of the classes to keep, separated by commas. All other pixels get the id of the "
            "model's "
            "background class, or its ignore id where it has no background."
        ),
        examples=["car,person"],
    )

    @property
    def need(self) -> Need:
        """What the engine must compute beyond which class wins."""
        return "class_map"


@dataclass(frozen=True)
class Output:
    """One row of the table of formats.

    It answers with `media_types[0]` unless an option says otherwise. `encode` takes a Segmentation
    and an instance of `options`; it is pure, and slow enough to belong on a worker.
    """

    name: str
    media_types: tuple[str, ...]
    options: type[OutputOptions]
    description: str
    encode: Callable[[Segmentation, Any], Encoded]
    needs_image: bool = False
