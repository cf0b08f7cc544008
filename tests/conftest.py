"""Models and settings that all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.solvable import save_solvable_model


def pytest_configure() -> None:
    """Machines are shared and noisy: no property fails for being slow."""
    settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("noisy")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def solvable_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `solvable/1` (RGB) and `gray/1`. Read only: a test that changes a store makes
    its own.
    """
    store = tmp_path_factory.mktemp("store")
    save_solvable_model(store)
    save_solvable_model(store, "gray", channels=1)
    return store


@pytest.fixture(scope="session")
def openvino_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `solvable/1` and its OpenVINO files of fp32. Read only."""
    store = tmp_path_factory.mktemp("openvino-store")
    save_solvable_model(store, with_openvino=True)
    return store
