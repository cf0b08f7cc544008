"""A second version beside the first: a real process of its own, which may be lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.inference.watching import SeenResult
from service.settings import SettingError, Settings
from service.shadow import process as processes
from service.shadow import shadow as shadows
from service.shadow.messages import say
from service.shadow.shadow import Shadow
from tests.service.capture.test_capture import result
from tests.service.serving import (
    TIMEOUT_SECONDS,
    ServerThread,
    class_map_of,
    picture,
    serving,
    wait_until,
)
from tests.solvable import save_solvable_model, solve

GAINS = 1.0, 1.5, 1.0
IMAGE = picture(24, 20)
OF = {"model": "solvable/1", "shadow": "solvable/2"}


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("versions") / "store"
    save_solvable_model(store, with_openvino=True)
    save_solvable_model(store, version=2, gains=GAINS, with_openvino=True)
    return store


@pytest.fixture
def shadowed(
    two_versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerThread]:
    """solvable/1 serves, solvable/2 sees every picture."""
    monkeypatch.setattr(shadows, "_FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(processes, "STEPS_BACK", False)  # the machine may have nothing left
    with serving(
        two_versions,
        models=("solvable/1",),
        shadow="solvable/2",
        shadow_share=1.0,
        capture_folder=tmp_path / "kept",
        capture_policies=("disagreement=0.05",),
        capture_pause_seconds=0,
    ) as running:
        yield running


def shadow_of(server: ServerThread) -> Shadow:
    watcher = server.parts.inference.watcher
    assert watcher is not None
    (found,) = [one for one in watcher.each if isinstance(one, Shadow)]  # type: ignore[attr-defined]
    return found


def test_a_second_version_is_compared_and_what_they_differ_on_is_kept(
    shadowed: ServerThread, tmp_path: Path
) -> None:
    answer = shadowed.segment(IMAGE)
    np.testing.assert_array_equal(class_map_of(answer), solve(IMAGE))
    assert answer.headers["X-Model"] == "solvable/1"
    wait_until(lambda: shadowed.metric("segserve_shadow_images_total", OF) == 1, "the shadow")
    other = (IMAGE * np.array(GAINS)).argmax(axis=-1)
    differs = int((solve(IMAGE) != other).sum())
    assert shadowed.metric("segserve_shadow_pixels_total", {**OF, "equal": "false"}) == differs > 24
    assert 0 < shadowed.metric("segserve_shadow_mean_iou", OF) < 1
    notes = tmp_path / "kept" / "solvable" / "captured" / "notes"
    wait_until(lambda: notes.is_dir() and any(notes.glob("*.json")), "the note")
    note = json.loads(next(notes.glob("*.json")).read_text())
    assert note["policy"] == "disagreement"
    assert note["shadow"] == "solvable/2"
    assert note["differs"] == pytest.approx(differs / solve(IMAGE).size, abs=1e-4)


def test_a_shadow_that_is_killed_or_hangs_costs_no_request_and_comes_back(
    shadowed: ServerThread,
) -> None:
    shadowed.segment(IMAGE)
    wait_until(lambda: shadowed.metric("segserve_shadow_images_total", OF) == 1, "the shadow")
    process = shadow_of(shadowed)._process  # noqa: SLF001
    assert process is not None
    pid = process._process.pid  # noqa: SLF001
    os.kill(pid, signal.SIGSTOP)  # it hangs
    for _ in range(20):
        np.testing.assert_array_equal(class_map_of(shadowed.segment(IMAGE)), solve(IMAGE))
    assert shadowed.metric("segserve_shadow_dropped_images_total", {"reason": "busy"}) > 0
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: shadowed.metric("segserve_shadow_images_total", OF) > 1, "it comes back")
    assert shadowed.metric("segserve_shadow_dropped_images_total", {"reason": "failed"}) == 1


def test_the_process_ends_with_the_server_whatever_it_is_at(two_versions: Path) -> None:
    settings = Settings(model_store=two_versions).model_dump(mode="json")
    worker = subprocess.Popen([sys.executable, "-m", processes.WORKER], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    say(worker.stdin, {"settings": settings, "model": "solvable/2", "steps_back": False})
    worker.stdin.close()  # as when the server is killed: the model is being loaded
    assert worker.wait(TIMEOUT_SECONDS) == 0


class SilentObserver:
    def __init__(self) -> None:
        self.dropped: list[str] = []

    def shadowed(self, *_: object) -> None: ...

    def shadow_agreement(self, *_: object) -> None: ...

    def shadow_dropped(self, reason: str) -> None:
        self.dropped.append(reason)


def test_a_share_of_other_versions_pictures_is_taken_and_what_finds_no_room_is_dropped() -> None:
    observer = SilentObserver()
    shadow = Shadow("solvable/2", 0.25, {}, 1.0, observer, None)
    for _ in range(48):
        shadow.see(result())
    assert observer.dropped == ["busy"] * 4  # a quarter, of which eight wait
    own = Shadow("solvable/1", 1.0, {}, 1.0, observer, None)
    stranger = Shadow("street/2", 1.0, {}, 1.0, observer, None)
    for each in (own, stranger):
        for _ in range(20):
            seen: SeenResult = result()
            assert each.see(seen) is None
    assert len(observer.dropped) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("solvable", "the newest may be the one"),
        ("solvable/3", "solvable/1, solvable/2"),
        ("a b", "names no model"),
    ],
)
def test_a_shadow_that_is_none_is_refused_at_the_start(
    two_versions: Path, name: str, words: str
) -> None:
    with pytest.raises(SettingError, match=words), serving(two_versions, shadow=name):
        pass
