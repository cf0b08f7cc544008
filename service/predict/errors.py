"""What keeps a job of files from being begun, or ends it."""


class PredictError(Exception):
    """The job cannot begin, or not go on. The text says what to change."""
