"""Reach a Ray cluster, or begin one on this machine."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# Ray asks for this when it is imported. Nothing is reported to anybody.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from service.cluster.errors import ClusterError

NAMESPACE = "segserve"


@contextmanager
def connected(address: str | None, environment: Mapping[str, str]) -> Iterator[None]:
    """Be a driver of the cluster at `address`, with `environment` in each process that is started
    for it.

    None is the cluster that this machine is a node of, or else a new one of this machine alone.
    What Ray has to say of lost nodes and of its end is said before it is left. Raises ClusterError.
    """
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            runtime_env={"env_vars": dict(environment)},
            include_dashboard=False,
            logging_level=logging.WARNING,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(
            f"the Ray cluster {address or 'of this machine'} cannot be used: {reason} "
            "Start one with `ray start --head`, or name the address that it printed."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
