import numpy as np
import pytest

from service.domain.classes import keep_classes, kept_ids
from service.domain.errors import InvalidOptionError
from service.outputs import OUTPUTS
from tests.service.outputs.maps import make_model

CLASS_MAP = np.array([[0, 1, 2], [3, 2, 1]], np.uint8)


def filtered(
    classes: str | None, *, background: int | None = None, ignore: int | None = 255
) -> list[list[int]]:
    contract = make_model(4, background=background, ignore=ignore).contract
    class_map = CLASS_MAP.copy()
    keep_classes(contract, kept_ids(contract, classes), class_map, None)
    rows: list[list[int]] = class_map.tolist()
    return rows


def test_other_classes_get_the_background_id() -> None:
    assert filtered("class 2,class 3", background=0) == [[0, 0, 2], [3, 2, 0]]


def test_other_classes_get_the_ignore_id_where_there_is_no_background() -> None:
    assert filtered("class 1") == [[255, 1, 255], [255, 255, 1]]


def test_spaces_around_names_and_repeated_names_do_not_matter() -> None:
    assert filtered(" class 1 ,class 1") == filtered("class 1")


def test_without_the_option_nothing_changes() -> None:
    assert filtered(None) == CLASS_MAP.tolist()


def test_all_classes_can_be_kept_where_nothing_could_be_left_out() -> None:
    assert filtered("class 0,class 1,class 2,class 3", ignore=None) == CLASS_MAP.tolist()


def test_a_model_without_background_and_ignore_id_cannot_leave_classes_out() -> None:
    with pytest.raises(InvalidOptionError, match="neither a background class nor an ignore id"):
        filtered("class 1", ignore=None)


def test_an_unknown_class_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidOptionError, match=r"no class 'bus'.*class 0, class 1, class 2, class 3"
    ):
        filtered("class 1,bus")


def test_confidence_in_a_class_left_out_is_zero() -> None:
    contract = make_model(4, background=0).contract
    class_map, confidence = CLASS_MAP.copy(), np.full(CLASS_MAP.shape, 200, np.uint8)
    keep_classes(contract, kept_ids(contract, "class 0,class 2"), class_map, confidence)
    np.testing.assert_array_equal(confidence, [[200, 0, 200], [0, 200, 0]])


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_format_takes_classes_and_describes_its_options(name: str) -> None:
    schema = OUTPUTS[name].options.model_json_schema()
    assert "classes" in schema["properties"]
    assert all(
        "description" in option and "examples" in option for option in schema["properties"].values()
    )
    assert OUTPUTS[name].description
