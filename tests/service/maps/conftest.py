"""Models that many maps are made with."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.inference.conv_network import save_conv_network
from tests.service.maps.rasters import Mapper


@pytest.fixture(scope="session")
def map_store(solvable_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`solvable/1`, `conv/1` of finite receptive field, and `global/1` of none. Read only."""
    store = tmp_path_factory.mktemp("maps") / "store"
    shutil.copytree(solvable_store, store)
    save_conv_network(store, "conv")
    save_conv_network(store, "global", sees_everything=True)
    return store


def _mapper(store: Path, model: str) -> Iterator[Mapper]:
    mapper = Mapper(store, model)
    yield mapper
    mapper.close()


@pytest.fixture(scope="session")
def solvable(map_store: Path) -> Iterator[Mapper]:
    yield from _mapper(map_store, "solvable")


@pytest.fixture(scope="session")
def conv(map_store: Path) -> Iterator[Mapper]:
    yield from _mapper(map_store, "conv")


@pytest.fixture(scope="session")
def seeing_everything(map_store: Path) -> Iterator[Mapper]:
    yield from _mapper(map_store, "global")
