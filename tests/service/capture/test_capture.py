"""What is kept, what is dropped, and that no request waits for it."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.contract.typicality import Typicality
from models.data.dataset import IMAGE_SUFFIXES
from service.capture.folder import CaptureFolder, FolderInUseError, captured_image, new_id
from service.capture.labeled import TRAINED_TYPES
from service.capture.policies import Policies
from service.capture.writer import Capture
from service.domain.model import Model
from service.domain.observation import Observation
from service.domain.source import SourceInfo
from service.inference.watching import SeenResult, Watchers
from service.inputs import INPUTS
from tests.service.serving import TIMEOUT_SECONDS, wait_until
from tests.solvable import contract_with

MODEL = Model(contract_with(name="solvable"), 1)


class RecordingObserver:
    def __init__(self) -> None:
        self.kept: list[str] = []
        self.dropped: list[str] = []
        self.bytes = 0

    def captured(self, _model_id: str, policy: str) -> None:
        self.kept.append(policy)

    def capture_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def capture_bytes(self, size: int) -> None:
        self.bytes = size


def result(
    shares: tuple[float, ...] = (1.0,),
    confidence: float | None = None,
    atypical: float | None = None,
) -> SeenResult:
    """100 pixels with these shares of the classes."""
    ids = np.repeat(np.arange(len(shares)), [round(100 * share) for share in shares])
    class_map = ids.astype(np.uint8).reshape(10, 10)
    all_shares = (*shares, *[0.0] * (3 - len(shares)))
    outside = None if atypical is None else Typicality(atypical, ())
    seen = Observation(100, all_shares, confidence, outside)
    return SeenResult(MODEL, b"picture", "PNG", SourceInfo(), "auto", "auto", class_map, seen)


def chosen(policies: Policies, *results: SeenResult) -> list[str | None]:
    return [policies.first_that_keeps(one) for one in results]


def test_one_in_so_many_is_chosen() -> None:
    policies = Policies.parse(["every=3"])
    assert chosen(policies, *[result()] * 7) == ["every", None, None, "every", None, None, "every"]
    assert policies.need == "class_map"


def test_a_picture_that_the_model_is_unsure_of_is_chosen() -> None:
    policies = Policies.parse(["confidence=0.8", "every=1000000"])
    chosen(policies, result())  # the first of a million
    sure, unsure = result(confidence=0.81), result(confidence=0.79)
    assert chosen(policies, sure, unsure) == [None, "confidence"]
    assert policies.need == "confidence"


def test_a_picture_unlike_the_models_own_is_chosen() -> None:
    policies = Policies.parse(["atypical=1"])
    seen = [result(atypical=distance) for distance in (None, 0.9, 1.1)]
    assert chosen(policies, *seen) == [None, None, "atypical"]


def test_a_class_that_is_usually_rare_is_chosen_once_what_is_usual_is_known() -> None:
    policies = Policies.parse(["rare=0.05"])
    usual, rare = result((0.99, 0.01)), result((0.9, 0.1))
    assert chosen(policies, rare) == [None]
    assert not any(chosen(policies, *[usual] * 100))
    assert chosen(policies, rare, usual) == ["rare", None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("certain=0.5", "confidence=…"),
        ("every", "every=…"),
        ("every=0", "a whole number from 1"),
        ("every=1.5", "a whole number"),
        ("confidence=80", "from 0 to 1"),
        ("confidence=nan", "a number from 0 to 1"),
    ],
)
def test_a_policy_that_is_none_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Policies.parse([text])
    with pytest.raises(ValueError, match="said twice"):
        Policies.parse(["every=1", "every=2"])


def add(folder: CaptureFolder, size: int) -> str:
    id = new_id()
    folder.add("street", id, bytes(size), ".jpg", b"mask", {"id": id})
    return id


def test_the_oldest_leave_when_the_folder_is_full_and_after_a_restart_too(tmp_path: Path) -> None:
    folder = CaptureFolder(tmp_path, 1000)
    ids = sorted(add(folder, 200) for _ in range(6))
    assert folder.bytes <= 1000
    there = [id for id in ids if captured_image(tmp_path, id) is not None]
    assert there == ids[-len(there) :]
    assert 2 <= len(there) < 6
    size = folder.bytes
    folder.close()
    torn = tmp_path / "street" / "captured" / "images" / f"{new_id()}.jpg"
    torn.write_bytes(b"of a process that was killed")
    again = CaptureFolder(tmp_path, 1000)
    assert (
        again.bytes
        == size
        == sum(path.stat().st_size for path in (tmp_path / "street").rglob("*") if path.is_file())
    )
    assert not torn.exists()
    with pytest.raises(OSError, match="more than all may take"):
        add(again, 2000)


def test_a_folder_is_for_one_process(tmp_path: Path) -> None:
    folder = CaptureFolder(tmp_path, 1000)
    with pytest.raises(FolderInUseError):
        CaptureFolder(tmp_path, 1000)
    folder.close()
    CaptureFolder(tmp_path, 1000).close()


class HangingFolder(CaptureFolder):
    """A disk that does not answer until it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 2**20)
        self.reached, self.released = threading.Event(), threading.Event()

    def add(self, *arguments: Any, **named: Any) -> None:
        self.reached.set()
        assert self.released.wait(TIMEOUT_SECONDS)
        super().add(*arguments, **named)


def test_a_disk_that_hangs_holds_up_nobody_and_what_finds_no_room_is_counted(
    tmp_path: Path,
) -> None:
    folder, observer = HangingFolder(tmp_path), RecordingObserver()
    capture = Capture(folder, Policies.parse(["every=1"]), 0, observer)
    capture.start()
    assert capture.see(result()) is not None
    assert folder.reached.wait(TIMEOUT_SECONDS)
    waiting = [capture.see(result()) for _ in range(40)]
    assert waiting.count(None) == 8 == len(observer.dropped)
    assert set(observer.dropped) == {"queue"}
    folder.released.set()
    capture.stop()
    assert len(observer.kept) == 33
    assert observer.bytes == folder.bytes > 0


def test_a_fault_of_the_disk_drops_the_picture_and_the_next_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observer = RecordingObserver()
    capture = Capture(CaptureFolder(tmp_path, 2**20), Policies.parse(["every=1"]), 0, observer)
    capture.start()
    (tmp_path / "solvable").write_text("in the way of the folder")
    capture.see(result())
    wait_until(lambda: observer.dropped == ["disk"], "the drop")
    (tmp_path / "solvable").unlink()
    capture.see(result())
    capture.stop()
    assert observer.kept == ["every"]
    assert "was not kept" in caplog.text


def test_no_more_than_one_picture_is_kept_in_a_pause(tmp_path: Path) -> None:
    observer = RecordingObserver()
    capture = Capture(CaptureFolder(tmp_path, 2**20), Policies.parse(["every=1"]), 3600, observer)
    assert capture.see(result()) is not None
    assert capture.see(result()) is None
    assert observer.dropped == ["rate"]


def test_a_watcher_that_raises_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        need = "class_map"

        def see(self, _result: SeenResult) -> str | None:
            raise RuntimeError

    watchers = Watchers([Broken()])  # type: ignore[list-item]
    assert watchers.see(result()) is None
    assert "was not looked at" in caplog.text


def test_what_comes_back_is_of_types_that_segtrain_reads() -> None:
    trained = {name for name, row in INPUTS.items() if row.suffixes[0] in IMAGE_SUFFIXES}
    assert trained == set(TRAINED_TYPES)
