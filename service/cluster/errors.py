"""What keeps work from a cluster. Known without Ray being there."""

from models.contract.errors import UserError


class ClusterError(UserError):
    """The cluster cannot be used. The text says why, and what to do."""
