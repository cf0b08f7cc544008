"""Whether one job more may begin: how many there may be, and how many bytes they may take."""

from collections import Counter, deque
from dataclasses import dataclass, field

from service.jobs.errors import JobFolderFullError, JobsFullError, JobTooLargeError
from service.jobs.kept import KeptJobs

# Rows that are kept, done ones among them: each is a kilobyte of memory.
MOST_KEPT = 10_000
_MOST_RETRY_SECONDS = 3600.0
_FIRST_GUESS_SECONDS = 60.0


@dataclass(frozen=True)
class JobLimits:
    """`max_jobs` are those that are not done, `max_key_jobs` those of one caller."""

    max_job_bytes: int
    max_folder_bytes: int
    max_jobs: int
    max_key_jobs: int
    upload_age_seconds: float
    result_age_seconds: float


@dataclass
class Room:
    kept: KeptJobs
    limits: JobLimits
    # that the last jobs took
    seconds: "deque[float]" = field(
        default_factory=lambda: deque([_FIRST_GUESS_SECONDS], maxlen=32)
    )

    def check(self, owner: str, size: int | None) -> None:
        """Whether a job with a file of `size` bytes may begin; None where that is not known yet.

        Raises JobTooLargeError, JobsFullError and JobFolderFullError.
        """
        limits = self.limits
        if size is not None:
            self.check_size(size)
        opened = Counter(job.owner for job in self.kept if job.is_open)
        if opened[owner] >= limits.max_key_jobs:
            raise JobsFullError(
                f"{opened[owner]} jobs of yours are not done yet, and no more than "
                f"{limits.max_key_jobs} are accepted at once. Try again after the time that "
                "Retry-After gives, or DELETE one of them.",
                self._retry_seconds(),
            )
        if opened.total() >= limits.max_jobs or len(self.kept) >= MOST_KEPT:
            raise JobsFullError(
                f"{opened.total()} jobs are not done yet and {len(self.kept)} are kept; no more "
                f"than {limits.max_jobs} and {MOST_KEPT} are. Try again after the time that "
                "Retry-After gives.",
                self._retry_seconds(),
            )
        self.check_bytes(size or 1)

    def check_size(self, size: int) -> None:
        """Raises JobTooLargeError."""
        limit = self.limits.max_job_bytes
        if size > limit:
            raise JobTooLargeError(
                f"The file has {size} bytes or more; the limit of a job is {limit}. Send it "
                "compressed, or in parts."
            )

    def check_bytes(self, more: int) -> None:
        """Raises JobFolderFullError."""
        held, limit = self.kept.held_bytes, self.limits.max_folder_bytes
        if held + more > limit:
            raise JobFolderFullError(
                f"The files and results of jobs take {held} bytes, and with this one they would "
                f"take more than the {limit} that are set aside for them. Try again after the time "
                "that Retry-After gives, or DELETE jobs whose results you have.",
                self._retry_seconds(),
            )

    def _retry_seconds(self) -> float:
        """Until one job more is done, at the pace of the last ones."""
        return min(_MOST_RETRY_SECONDS, sum(self.seconds) / len(self.seconds))
