"""Why there is no GPU is told by the first thing that is missing."""

from pathlib import Path

import pytest

from service.runtimes import gpu
from service.runtimes.gpu import why_no_gpu


def machine_with(root: Path, *devices: str) -> Path:
    (root / "dev").mkdir()
    for device in devices:
        (root / "dev" / device).touch()
    return root


def test_a_build_without_cuda_names_the_extra_that_has_it(tmp_path: Path) -> None:
    reason = why_no_gpu(built_with_cuda=False, root=machine_with(tmp_path, "nvidia0"))
    assert "gpu extra" in reason


def test_no_device_node_means_that_none_is_shown(tmp_path: Path) -> None:
    # The control nodes exist without any GPU.
    reason = why_no_gpu(built_with_cuda=True, root=machine_with(tmp_path, "nvidiactl"))
    assert "shows a GPU" in reason


@pytest.mark.parametrize("device", ["nvidia0", "dxg"])
def test_a_device_without_its_driver_library_names_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(gpu, "DRIVER_LIBRARY", "libno-such-driver.so.1")
    reason = why_no_gpu(built_with_cuda=True, root=machine_with(tmp_path, device))
    assert "libno-such-driver.so.1 is missing" in reason


def test_with_device_and_driver_a_cuda_library_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "DRIVER_LIBRARY", "libc.so.6")
    reason = why_no_gpu(built_with_cuda=True, root=machine_with(tmp_path, "nvidia0"))
    assert "a CUDA library does not load" in reason
