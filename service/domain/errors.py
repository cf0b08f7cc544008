"""What can go wrong with an image on its way. `api/errors.py` alone gives these a status."""

from typing import Self


class ServiceError(Exception):
    """A fault whose text a caller may read: what was wrong, the limit, and what to do."""


class UnreadableImageError(ServiceError):
    """The bytes are an image type we read, and do not decode: truncated, corrupt or zero-sized."""


class UnsupportedImageTypeError(ServiceError):
    """The bytes are no image type we read."""


class ImageTooLargeError(ServiceError):
    """The header announces more pixels than the limit; nothing was decoded."""


class TryLaterError(ServiceError):
    """What cannot be done now can be done in `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds

    def __reduce__(self) -> tuple[type[Self], tuple[str, float]]:
        return type(self), (str(self), self.retry_after_seconds)  # it may come from another machine


class QueueFullError(TryLaterError):
    """As many images wait as may."""


class DeadlineExceededError(ServiceError):
    """The image was not done by its deadline."""


class ModelUnavailableError(TryLaterError):
    """The model is loading, draining, or was unloaded while the image waited."""


class InferenceError(ServiceError):
    """The engine failed on a batch. The cause is chained and logged, never shown."""


class InvalidOptionError(ServiceError):
    """An option is well-formed and does not fit this model, such as a class it does not have."""


class InvalidTensorError(ServiceError):
    """Arrays, or outputs asked for, that are not what the model takes and gives."""


class AnswerTooLargeError(ImageTooLargeError):
    """The image itself is welcome, but its answer in the format asked for would be over a limit."""
