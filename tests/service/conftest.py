"""Servers that many tests share."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.flaky import save_flaky_model
from tests.service.serving import ServerThread, serving

MAX_UPLOAD_BYTES = 300_000
MAX_BATCH_UPLOAD_BYTES = 500_000
MAX_IMAGE_PIXELS = 100_000
MAX_BATCH_REQUEST_IMAGES = 4


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> None:
    """What is set in the shell that runs the tests is not for them."""
    for name in [name for name in os.environ if name.startswith("SEGSERVE_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command run within the tests takes the process's log for itself; the next test gets it
    back.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def store(solvable_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`solvable/1`, `gray/1` and `flaky/1`. Read only."""
    store = tmp_path_factory.mktemp("service") / "store"
    shutil.copytree(solvable_store, store)
    save_flaky_model(store)
    return store


@pytest.fixture(scope="session")
def server(store: Path) -> Iterator[ServerThread]:
    """One server with low limits, for every test that leaves it as it was."""
    with serving(
        store,
        default_model="solvable",
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_batch_upload_bytes=MAX_BATCH_UPLOAD_BYTES,
        max_image_pixels=MAX_IMAGE_PIXELS,
        max_batch_request_images=MAX_BATCH_REQUEST_IMAGES,
        max_probability_bytes=12_000,
        tile_side_pixels=64,
        version_labels=("stable=solvable/1", "canary=solvable/9"),
        cors_origins=("https://app.example.org",),
    ) as running:
        yield running
