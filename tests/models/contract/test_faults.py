import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from models.contract.faults import first_fault


class Inner(BaseModel):
    width: int = Field(ge=1)

    @field_validator("width")
    @classmethod
    def _is_even(cls, width: int) -> int:
        if width % 2:
            raise ValueError("Widths are even")
        return width


class Outer(BaseModel):
    network: Inner


def fault_of(width: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"network": {"width": width}})
    return caught.value


def test_a_fault_tells_place_message_and_value() -> None:
    fault = first_fault(fault_of(0))
    assert (fault.place, fault.given) == ("network.width", 0)
    assert str(fault) == "network.width: input should be greater than or equal to 1"


def test_a_validator_s_own_words_stand_alone() -> None:
    assert first_fault(fault_of(3)).message == "widths are even"


def test_the_first_parts_of_a_place_can_be_left_out() -> None:
    assert first_fault(fault_of(0), skip=1).place == "width"
