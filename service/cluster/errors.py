"""What keeps work from a cluster. Known without Ray being there."""


class ClusterError(Exception):
    """The cluster cannot be used. The text says why, and what to do."""
