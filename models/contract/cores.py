"""How many cores this process may really use."""

import math
import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Cores by the cgroup's CPU quota (v1 or v2) and the affinity mask, the smaller, rounded up; at
    least 1.

    A container with `--cpus=2` on a 64-core machine sees 64 cores; 64 threads on 2 cores' worth of
    time only wait for each other. `root` is where /proc and /sys are found.
    """
    quotas = [*_quotas_v2(root), *_quotas_v1(root)]
    return max(1, math.ceil(min([len(os.sched_getaffinity(0)), *quotas])))


def _quotas_v2(root: Path) -> list[float]:
    """Each limiting `cpu.max` from the process's own cgroup up: "200000 100000" is 2 cores, "max
    100000" no limit.
    """
    quotas = []
    for folder in _folders(root / "sys/fs/cgroup", _cgroup_path(root, controller="")):
        quota, period = _words(folder / "cpu.max", ("max", "100000"))
        if quota != "max":
            quotas.append(int(quota) / int(period))
    return quotas


def _quotas_v1(root: Path) -> list[float]:
    quotas = []
    for folder in _folders(root / "sys/fs/cgroup/cpu", _cgroup_path(root, controller="cpu")):
        (quota,) = _words(folder / "cpu.cfs_quota_us", ("-1",))
        (period,) = _words(folder / "cpu.cfs_period_us", ("100000",))
        if int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return quotas


def _folders(mount: Path, cgroup: str) -> list[Path]:
    """The cgroup's folder and its parents up to the mount; inside a container the path may lead to
    none of them.
    """
    own = mount / cgroup.strip("/")
    return [own, *(parent for parent in own.parents if parent.is_relative_to(mount))]


def _cgroup_path(root: Path, controller: str) -> str:
    """The path after the controller's line in /proc/self/cgroup: `0::/a` for v2, `4:cpu,cpuacct:/a`
    for v1.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _words(file: Path, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(file.read_text().split())
    except OSError:
        return otherwise
