"""One Ray cluster for each file of tests."""

import os
from collections.abc import Iterator

import pytest

from tests.service.cluster.nodes import RayCluster


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[RayCluster]:
    pytest.importorskip(
        "ray.cluster_utils", reason="Ray is not installed; requirements/dev.txt has it"
    )
    before = dict(os.environ)
    # Read when processes of the cluster start. Their log is Ray's, not ours.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    cluster = RayCluster()
    yield cluster
    cluster.close()
    os.environ.clear()
    os.environ.update(before)
