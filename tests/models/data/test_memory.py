from pathlib import Path

import pytest

from models.data.memory import memory_bytes


@pytest.mark.parametrize("limit", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_containers_limit_counts_where_it_is_less(limit: str, tmp_path: Path) -> None:
    machine = memory_bytes(tmp_path)
    path = tmp_path / "sys/fs/cgroup" / limit
    path.parent.mkdir(parents=True)
    path.write_text("104857600\n")
    assert memory_bytes(tmp_path) == 100 << 20
    for nothing in ("max\n", str(1 << 62)):
        path.write_text(nothing)
        assert memory_bytes(tmp_path) == machine > 100 << 20
