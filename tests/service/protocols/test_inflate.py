import gzip
import zlib

import pytest

from service.protocols.inflate import inflate, is_compressed
from service.protocols.problems import (
    BodyTooLargeError,
    MalformedRequestError,
    UnsupportedBodyError,
)

PLAIN = b"pixels" * 100


def test_gzip_and_deflate_are_undone() -> None:
    assert inflate(gzip.compress(PLAIN), "gzip", 600) == PLAIN
    assert inflate(zlib.compress(PLAIN), " Deflate", 600) == PLAIN


def test_identity_is_no_compression() -> None:
    assert not is_compressed(None)
    assert not is_compressed("")
    assert not is_compressed("identity")
    assert is_compressed("br")


def test_what_unpacks_to_more_than_the_limit_is_refused() -> None:
    with pytest.raises(BodyTooLargeError, match="599 bytes"):
        inflate(gzip.compress(PLAIN), "gzip", 599)


@pytest.mark.parametrize(
    ("body", "coding", "expected"),
    [
        (PLAIN, "gzip", "is not gzip"),
        (zlib.compress(PLAIN), "gzip", "is not gzip"),
        (gzip.compress(PLAIN, mtime=0)[:-4], "gzip", "ends before the end"),
        (b"", "deflate", "ends before the end"),
        (zlib.compress(PLAIN) + b"x", "deflate", "goes on after"),
    ],
)
def test_a_body_that_is_not_what_its_coding_says_is_refused(
    body: bytes, coding: str, expected: str
) -> None:
    with pytest.raises(MalformedRequestError, match=expected):
        inflate(body, coding, 1000)


def test_other_codings_are_refused_with_those_there_are() -> None:
    with pytest.raises(UnsupportedBodyError, match="gzip or deflate"):
        inflate(PLAIN, "gzip, br", 1000)
