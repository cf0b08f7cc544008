"""What keeps a job of files from being begun, or ends it."""

from models.contract.errors import UserError


class PredictError(UserError):
    """The job cannot begin, or not go on. The text says what to change."""
