"""What a server process loads into its memory."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.service.serving import TIMEOUT_SECONDS, ServerProcess, class_map_of, picture, png_bytes
from tests.solvable import solve


@pytest.mark.parametrize(("engine", "maps"), [("auto", "openvino"), ("tensorflow", "tensorflow")])
def test_a_server_maps_the_library_of_the_engine_that_runs_and_no_other(
    openvino_store: Path, tmp_path: Path, engine: str, maps: str
) -> None:
    process = ServerProcess(
        ["--model-store", str(openvino_store), "--engine", engine, "--shutdown-delay-seconds", "0"],
        tmp_path / "log",
    )
    try:
        url = process.wait_until_ready()
        image = picture(20, 30)
        answer = httpx.post(f"{url}/segment", content=png_bytes(image), timeout=TIMEOUT_SECONDS)
        np.testing.assert_array_equal(class_map_of(answer), solve(image))
        models = httpx.get(f"{url}/models", timeout=TIMEOUT_SECONDS).json()["models"]
        assert models[0]["engine"]["name"] == maps
        mapped = Path(f"/proc/{process.process.pid}/maps").read_text()
    finally:
        process.close()
    assert "libgdal" not in mapped  # nothing asked for it
    assert {name for name in ("tensorflow", "openvino") if f"lib{name}" in mapped} == {maps}
