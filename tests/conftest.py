"""Models and settings that all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.solvable import save_solvable_model

# The longest first: a file is the work of one process, and a long one that came last would be
# waited for.
LONG_FILES = (
    "models/test_cli.py",
    "models/architectures/test_networks.py",
    "docs/test_readme.py",
    "models/test_kept_classes.py",
    "models/training/test_trainer.py",
    "service/test_bundled_models.py",
    "docs/test_loop.py",
    "service/web/test_page.py",
    "service/predict/test_predict.py",
    "models/contract/test_usage_reports.py",
    "docs/test_commands.py",
    "service/predict/test_maps.py",
    "service/test_without_internet.py",
    "models/export/test_formats.py",
    "models/export/test_quantize.py",
    "models/export/test_adopt.py",
    "models/architectures/test_add_a_network.py",
)


def pytest_configure() -> None:
    """Machines are shared and noisy: no property fails for being slow."""
    settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("noisy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    place = {folder / name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


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
