import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.class_names import parse_class_names, write_class_names
from service.domain.errors import InvalidOptionError

ADE = ["wall", "palm, palm tree", "palm", "door, double door", " sea ", 'inch "', "a,b,c"]


def parse(text: str, names: list[str] = ADE) -> set[str]:
    return set(parse_class_names(text, "made", names))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("palm", {"palm"}),
        ("wall,palm", {"wall", "palm"}),
        (" wall , palm ", {"wall", "palm"}),
        ("palm, palm tree", {"palm, palm tree"}),
        ('"palm, palm tree"', {"palm, palm tree"}),
        ('"palm, palm tree",palm', {"palm, palm tree", "palm"}),
        ("palm, palm tree, palm", {"palm, palm tree", "palm"}),
        ("door, double door,wall", {"door, double door", "wall"}),
        ("sea", {" sea "}),
        (" sea ", {" sea "}),
        ('" sea ",wall', {" sea ", "wall"}),
        ('inch "', {'inch "'}),
        ('"inch """', {'inch "'}),
        ("a,b,c", {"a,b,c"}),
        ("wall,a,b,c,palm", {"wall", "a,b,c", "palm"}),
        ("palm,palm", {"palm"}),
    ],
)
def test_names_with_and_without_commas(text: str, meant: set[str]) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("bus", "'bus'"),
        ("wall,bus", "'bus'"),
        ("palm tree", "'palm tree'"),
        ('"palm,palm tree"', "'palm,palm tree'"),
        ('"sea"', "'sea'"),
        ("wall,", "''"),
        ('"wall', "'\"wall'"),
        ("a,b", "'a'"),
    ],
)
def test_what_is_no_class_is_refused_with_those_there_are(text: str, unknown: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        parse(text)
    sentence = str(caught.value)
    assert sentence.startswith(f"made has no class {unknown}.")
    assert '"palm, palm tree", palm' in sentence
    assert sentence.endswith("A name that holds a comma goes in double quotes.")


def test_a_text_that_can_be_read_in_two_ways_is_refused() -> None:
    names = ["palm", "palm tree", "palm, palm tree"]
    with pytest.raises(
        InvalidOptionError, match=r'more than one way: "palm, palm tree" or palm,pa'
    ):
        parse("palm, palm tree", names)
    assert parse('"palm, palm tree"', names) == {"palm, palm tree"}
    assert parse('palm,"palm tree"', names) == {"palm", "palm tree"}


def test_a_long_text_is_read_in_no_time_that_grows_with_its_square() -> None:
    assert parse(",".join(["wall"] * 20_000)) == {"wall"}


NAMES = st.lists(st.text('ab ,"é', min_size=1, max_size=5), min_size=1, max_size=6, unique=True)


@given(NAMES, st.data())
def test_what_was_written_is_read_back_whatever_the_names(
    names: list[str], data: st.DataObject
) -> None:
    meant = data.draw(st.lists(st.sampled_from(names), min_size=1))
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in meant)
    assert parse(quoted, names) == set(meant)
    try:
        assert parse(write_class_names(meant), names) == set(meant)
    except InvalidOptionError as error:
        assert "more than one way" in str(error)  # noqa: PT017
