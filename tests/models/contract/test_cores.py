import os
from pathlib import Path

import pytest

from models.contract.cores import available_cores

AFFINITY = len(os.sched_getaffinity(0))


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_quota_the_affinity_mask_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == AFFINITY


def test_a_v2_quota_is_read_from_the_container_s_own_root(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert available_cores(tmp_path) == 1


def test_a_v2_parent_s_smaller_quota_counts(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/slice/unit\n")
    write(tmp_path, "sys/fs/cgroup/slice/cpu.max", "100000 100000\n")
    write(tmp_path, "sys/fs/cgroup/slice/unit/cpu.max", "max 100000\n")
    assert available_cores(tmp_path) == 1


def test_a_v1_quota_is_read(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/docker/a\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "20000\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert available_cores(tmp_path) == 1


def test_a_v1_quota_of_minus_one_is_no_quota(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert available_cores(tmp_path) == AFFINITY


@pytest.mark.skipif(AFFINITY < 2, reason="needs two cores to see rounding")
def test_a_quota_is_rounded_up(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    assert available_cores(tmp_path) == 2


def test_a_quota_above_the_affinity_mask_adds_no_cores(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", "100000000 100000\n")
    assert available_cores(tmp_path) == AFFINITY
