"""Folders by URI, as far as no store is needed."""

import pytest

pytest.importorskip("pyarrow", reason="it comes with Ray; requirements/dev.txt has it")

from service.cluster.errors import ClusterError
from service.cluster.files import Folder, shown


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("photos/2026?", "photos/2026?"),
        ("s3://photos/2026", "s3://photos/2026"),
        ("s3://key:secret@photos/2026?scheme=http&region=eu-1", "s3://photos/2026"),
        ("abfs://photos@account.dfs.core.windows.net/2026", None),
        ("gs://photos/2026/", None),
    ],
)
def test_a_uri_is_shown_without_its_key_and_query(uri: str, words: str | None) -> None:
    assert shown(uri) == (words or uri)


def test_what_cannot_be_opened_is_told_without_the_key() -> None:
    with pytest.raises(ClusterError, match=r"^s3://photos cannot be opened: .*regoin") as told:
        Folder.at("s3://key:secret@photos?regoin=eu-1")
    assert "secret" not in str(told.value)


def test_a_scheme_that_nothing_is_installed_for_is_told() -> None:
    with pytest.raises(ClusterError, match=r"^zz://photos cannot be opened: "):
        Folder.at("zz://photos")
