"""What can go wrong with a job, beside what can go wrong with its picture."""

from service.domain.errors import ServiceError, TryLaterError


class UnknownJobError(ServiceError):
    """There is no such job, or it is another caller's."""

    @classmethod
    def of(cls, job_id: str) -> "UnknownJobError":
        return cls(
            f"There is no job {job_id[:40]!r} of yours. It may have been removed: a job goes with "
            "its result after its time, and by DELETE."
        )


class JobNotDoneError(ServiceError):
    """The job has no result: not yet, or because it failed."""


class JobsFullError(TryLaterError):
    """As many jobs are not done as may be."""


class JobFolderFullError(TryLaterError):
    """The files of jobs take as many bytes as they may."""

    @classmethod
    def within(cls) -> "JobFolderFullError":
        return cls(
            "The disk of jobs was full before this one was done. DELETE jobs whose results you "
            "have, and send it again.",
            60.0,
        )


class JobFolderUnusableError(TryLaterError):
    """The folder of jobs cannot be written to."""

    @classmethod
    def now(cls) -> "JobFolderUnusableError":
        return cls(
            "The folder of jobs cannot be written to. Its operator finds why in the log.", 60.0
        )


class JobTooLargeError(ServiceError):
    """The file of a job has more bytes than it may."""


class UploadConflictError(ServiceError):
    """A part of a file that does not follow what has arrived of it."""


class WorkerFailedError(ServiceError):
    """The process that does the jobs ended or stood still again and again at this one."""

    @classmethod
    def after(cls, attempts: int, how: str) -> "WorkerFailedError":
        return cls(
            f"The process that does the jobs was lost {attempts} times at this one: {how}. "
            "The picture may need more memory than there is; tell the operator."
        )


class FolderInUseError(Exception):
    """The folder of jobs cannot be taken. The text says why."""
