import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.catalogue.store import Selector, complaints, scan
from tests.service.catalogue.stubs import save_stub


@contextmanager
def as_nobody() -> Iterator[None]:
    """The superuser may read everything, so who runs the tests as such is nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_store() -> Iterator[Path]:
    """A store that nobody can come to: the folders that tests get are their user's alone."""
    store = Path(tempfile.mkdtemp())
    store.chmod(0o755)
    yield store
    shutil.rmtree(store)


def test_a_folder_that_cannot_be_read_hides_only_itself(open_store: Path) -> None:
    save_stub(open_store, "good")
    save_stub(open_store, "private")
    (open_store / "private").chmod(0)
    with as_nobody():
        found = scan(open_store)
    (open_store / "private").chmod(0o755)
    assert list(found.models) == ["good"]
    assert found.unreadable == {"private": "Permission denied"}


@pytest.mark.parametrize("name", ["0", "00", "٣", "1.0", "v1"])
def test_what_is_named_like_no_version_is_passed_over_with_a_sentence(
    tmp_path: Path, name: str
) -> None:
    save_stub(tmp_path).rename(tmp_path / "m" / name)
    found = scan(tmp_path)
    assert found.models == {}
    (sentence,) = found.passed_over
    assert sentence.startswith(f"m/{name} is not a version: versions are whole numbers from 1 on")


@pytest.mark.parametrize("name", ["007", "7"])
def test_zeros_before_a_version_count_for_nothing(tmp_path: Path, name: str) -> None:
    """As TensorFlow Serving reads it."""
    save_stub(tmp_path).rename(tmp_path / "m" / name)
    (artefact,) = scan(tmp_path).models["m"].values()
    assert (artefact.id, artefact.path) == ("m/7", tmp_path / "m" / name)


def test_of_two_folders_of_one_version_neither_is_served(tmp_path: Path) -> None:
    save_stub(tmp_path).rename(tmp_path / "m" / "01")
    save_stub(tmp_path)
    found = scan(tmp_path)
    assert found.models == {}
    assert found.passed_over == ("m/01 and m/1 are both version 1; remove or rename all but one",)


def test_a_model_under_a_name_that_nobody_can_ask_for_is_passed_over_with_a_sentence(
    tmp_path: Path,
) -> None:
    save_stub(tmp_path)
    (tmp_path / "m").rename(tmp_path / "my model")
    found = scan(tmp_path)
    assert found.models == {}
    assert "my model/1 is passed over: a model's name has letters" in found.passed_over[0]


def test_a_model_at_the_place_of_no_version_is_told_of(tmp_path: Path) -> None:
    save_stub(tmp_path)
    shutil.copytree(tmp_path / "m" / "1", tmp_path / "m" / "latest")
    (tmp_path / "m" / "newest").symlink_to(tmp_path / "m" / "1")
    shutil.copytree(tmp_path / "m" / "1", tmp_path / "flat")
    found = scan(tmp_path)
    assert list(found.models) == ["m"]
    flat, latest = found.passed_over
    assert flat == "flat has a model's files and no version; move them into flat/1"
    assert latest.startswith("m/latest holds a model and is not a version: versions are whole")


def test_folders_that_are_no_models_are_passed_over_in_silence(tmp_path: Path) -> None:
    save_stub(tmp_path)
    (tmp_path / "README.md").write_text("models")
    (tmp_path / ".git" / "1").mkdir(parents=True)
    (tmp_path / "m" / "latest").mkdir()
    shutil.copytree(tmp_path / "m" / "1", tmp_path / "m" / ".partial-2")
    found = scan(tmp_path)
    assert list(found.models["m"]) == [1]
    assert (found.unreadable, found.passed_over) == ({}, ())


@pytest.mark.parametrize("given", [".", "store/m", "store/m/1"])
def test_a_store_given_at_the_wrong_level_is_told_the_right_one(tmp_path: Path, given: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    save_stub(store)
    found = scan(tmp_path / given)
    assert found.models == {}
    (sentence,) = complaints(tmp_path / given, found)
    assert f"the store is {store}" in sentence or f"but {store} does; that is the store" in sentence


def test_an_empty_store_is_told_what_a_store_holds(tmp_path: Path) -> None:
    (sentence,) = complaints(tmp_path, scan(tmp_path))
    assert "<name>/<version>/" in sentence


@pytest.mark.parametrize("text", ["m/0", "m/007", "m/٣", "m/1.0", "m/", "my model", "m/1/2"])
def test_a_selector_names_a_version_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="names no model"):
        Selector.parse(text)
    assert Selector.parse("m/7") == Selector("m", 7)
