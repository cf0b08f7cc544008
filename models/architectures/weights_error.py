"""What every way to start from trained weights raises."""

from models.contract import UserError


class BackboneWeightsError(UserError):
    """The weights are not where they were said to be, or belong to another network."""
