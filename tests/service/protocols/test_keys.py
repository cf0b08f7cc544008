"""API keys: who is let in, and how a key is taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.protocols.keys import (
    KeyFile,
    KeyFileError,
    format_line,
    hash_key,
    make_key,
    parse_keys,
)
from tests.service.serving import ServerThread, picture, png_bytes, serving, wait_until


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(
        f"# who may call\n{format_line('alice', 'key-of-alice')}\n"
        f"{format_line('bob', 'key-of-bob')} # phone\n"
    )
    return path


@pytest.fixture
def guarded(store: Path, key_file: Path) -> Iterator[ServerThread]:
    with serving(store, lazy_loading=True, models=("solvable",), api_keys_file=key_file) as running:
        yield running


def test_either_header_lets_a_key_in(guarded: ServerThread) -> None:
    for headers in (
        {"Authorization": "Bearer key-of-alice"},
        {"authorization": "bearer key-of-bob"},
        {"X-API-Key": "key-of-bob"},
        {"X-API-Key": "key-of-bob", "Authorization": "Bearer of-a-proxy"},
    ):
        assert guarded.client.get("/models", headers=headers).status_code == 200, headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "key-of-carol"},
        {"Authorization": "Basic key-of-alice"},
        {"Authorization": "Bearer"},
        {"X-API-Key": hash_key("key-of-alice")},
    ],
)
def test_nothing_else_does(guarded: ServerThread, headers: dict[str, str]) -> None:
    assert guarded.client.get("/models", headers=headers).status_code == 401


def test_a_caller_without_key_is_refused_before_its_body_is_read(guarded: ServerThread) -> None:
    response = guarded.client.post("/segment", files={"image": b"x" * 10_000_000})
    assert response.status_code == 401
    with_key = {"X-API-Key": "key-of-alice"}
    answer = guarded.client.post(
        "/segment", files={"image": png_bytes(picture(8, 8))}, headers=with_key
    )
    assert answer.status_code == 200


def test_what_needs_no_key_is_open(guarded: ServerThread) -> None:
    assert [
        guarded.client.get(path).status_code for path in ("/health/live", "/docs", "/openapi.json")
    ] == [200] * 3
    assert [guarded.client.get(path).status_code for path in ("/metrics", "/models/solvable")] == [
        401
    ] * 2


def test_a_key_is_revoked_and_another_let_in_without_a_restart(
    guarded: ServerThread, key_file: Path
) -> None:
    def status(key: str) -> int:
        return guarded.client.get("/models", headers={"X-API-Key": key}).status_code

    assert status("key-of-alice") == 200
    replace(key_file, format_line("carol", "key-of-carol"))
    wait_until(lambda: status("key-of-carol") == 200, "the new key")
    assert status("key-of-alice") == 401


def test_a_key_file_that_breaks_lets_nobody_in_until_it_is_mended(
    guarded: ServerThread, key_file: Path
) -> None:
    def status() -> int:
        return guarded.client.get("/models", headers={"X-API-Key": "key-of-alice"}).status_code

    whole = key_file.read_text()
    assert status() == 200
    replace(key_file, "alice plain-text-key")
    wait_until(lambda: status() == 401, "the broken file")
    replace(key_file, whole)
    wait_until(lambda: status() == 200, "the mended file")
    key_file.unlink()
    wait_until(lambda: status() == 401, "the missing file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alice key-of-alice", "line 1"),
        ("# fine\n\nalice sha256:12ab", "line 3"),
        (f"a sha256:{'0' * 64}\na sha256:{'1' * 64}", "a second time"),
    ],
)
def test_a_bad_line_is_named(text: str, words: str) -> None:
    with pytest.raises(KeyFileError, match=words):
        parse_keys(text)


def test_a_missing_file_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        KeyFile(tmp_path / "nowhere")


def test_keys_are_long_and_never_the_same() -> None:
    keys = {make_key() for _ in range(100)}
    assert len(keys) == 100
    assert min(map(len, keys)) >= 43


def replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)
