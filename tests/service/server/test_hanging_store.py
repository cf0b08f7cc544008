"""A store whose files hang when they are read, as on a network volume that is gone.

Pipes do that.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.contract import MODEL_CARD_PATH
from tests.service.catalogue.stubs import save_stub
from tests.service.protocols.oip.rpc.asking import Client
from tests.service.serving import ServerProcess, picture, serving, wait_until


@pytest.fixture
def hanging_store(solvable_store: Path, tmp_path: Path) -> Iterator[Path]:
    """`hangs/1`, whose load does not end, and `solvable/1`, which comes after it."""
    store = tmp_path / "store"
    shutil.copytree(solvable_store / "solvable", store / "solvable")
    pipe = save_stub(store, "hangs") / MODEL_CARD_PATH
    os.mkfifo(pipe)
    yield store
    os.close(os.open(pipe, os.O_RDWR))  # lets those go who wait for somebody to write


@pytest.mark.parametrize("load_timeout", ["300", "0.5"], ids=["in its time", "beyond its time"])
def test_a_load_that_hangs_does_not_keep_the_process_when_it_is_told_to_end(
    hanging_store: Path, tmp_path: Path, load_timeout: str
) -> None:
    arguments = ["--model-store", str(hanging_store), "--load-timeout-seconds", load_timeout]
    process = ServerProcess([*arguments, "--shutdown-delay-seconds", "0"], tmp_path / "log")
    told = "loading hangs/1" if load_timeout == "300" else "hangs/1 cannot be loaded"
    try:
        wait_until(lambda: told in process.log.read_text(), "the load that hangs")
        process.terminate()
        assert process.wait() == 0
    finally:
        process.process.kill()
        process.close()
    _, _, left = process.log.read_text().partition("the process ends without waiting for")
    assert "read-hangs/1" in left


def test_a_load_that_hangs_is_seen_by_liveness_and_the_others_are_served(
    hanging_store: Path,
) -> None:
    with serving(
        hanging_store,
        wait=False,
        default_model="solvable",
        load_timeout_seconds=2.0,
        stuck_after_seconds=0.5,
        grpc_port=0,
    ) as server:
        wait_until(lambda: server.segment(picture(8, 8)).status_code == 200, "an answer")
        wait_until(lambda: server.client.get("/health/live").status_code == 503, "its being seen")
        detail = server.client.get("/health/live").json()["detail"]
        assert "the load of a model, has hung" in detail
        assert server.client.get("/v2/health/live").status_code == 503
        assert not Client(server).call("ServerLive").live
        hangs, solvable = server.client.get("/models").json()["models"]
        assert (hangs["state"], solvable["state"]) == ("failed", "ready")
        assert "it was not read within 2 s" in hangs["error"]
