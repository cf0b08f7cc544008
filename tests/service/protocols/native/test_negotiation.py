"""Accept headers as RFC 9110 means them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocols.native.negotiation import choose, parse_accept, preferred
from service.protocols.problems import NotAcceptableError

OFFERED = ["image/png", "image/jpeg", "application/json"]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "image/png"),
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("application/*", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("image/jpeg, application/json", "image/jpeg"),
        ("image/jpeg;q=0.1, application/json;q=0.2", "application/json"),
        ("image/*;q=0.9, image/png;q=0.1", "image/jpeg"),
        ("*/*;q=0.1, image/jpeg;q=0", "image/png"),
        ("application/json;charset=utf-8;q=0.5, image/png;q=0.4", "application/json"),
        ("application/json; Q=1.000", "application/json"),
        ("nonsense, application/json", "application/json"),
        ("nonsense", "image/png"),
        ("*/png, application/json", "application/json"),
        ("application/json;q=2, image/jpeg;q=0.1", "image/jpeg"),
        ("text/html", None),
        ("*/*;q=0", None),
    ],
)
def test_the_caller_gets_what_it_wants_most(accept: str | None, wanted: str | None) -> None:
    assert preferred(accept, OFFERED) == wanted


def test_a_refusal_lists_what_there_is() -> None:
    with pytest.raises(NotAcceptableError, match="image/png, image/jpeg, application/json"):
        choose("text/html", OFFERED)


@given(st.text())
def test_no_header_makes_it_stumble(header: str) -> None:
    for media_range in parse_accept(header):
        assert 0 <= media_range.quality <= 1
    assert preferred(header, OFFERED) in [*OFFERED, None]
