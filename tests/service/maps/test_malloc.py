"""Memory that was freed, in a process of its own: what was set stays set."""

import os
import platform
import subprocess
import sys

import pytest

# The first large block that is freed is what raises glibc's threshold.
FREED = """
import numpy as np
from service.maps.malloc import return_large_blocks

return_large_blocks()
for _ in range(2):
    block = np.ones(16 * 2**20, np.uint8)
    address = block.ctypes.data
    del block
ranges = [line.split()[0].split("-") for line in open("/proc/self/maps")]
print(any(int(start, 16) <= address < int(end, 16) for start, end in ranges))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps such blocks")
@pytest.mark.parametrize(
    ("said", "is_kept"),
    [({}, "False"), ({"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20)}, "True")],
    ids=["by us", "by the environment"],
)
def test_a_large_block_goes_back_when_it_is_freed(said: dict[str, str], is_kept: str) -> None:
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    done = subprocess.run(
        [sys.executable, "-c", FREED],
        env=environment | said,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == is_kept
