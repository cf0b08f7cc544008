"""The folder of jobs: a lock, a table of what there is, and a folder a job.

All of it blocks. One server has a folder, and says so by a lock: two would do the same jobs, and
count neither's bytes.
"""

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from service.jobs.errors import FolderInUseError
from service.jobs.job import Job

_FORM = 1  # of the table

LOCK_SECONDS = 3.0

UPLOAD = "upload"


class JobFolder:
    """Used on one thread at a time, from `take` to `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._jobs = self.path / "jobs"
        self._lock: int | None = None
        self._table: sqlite3.Connection | None = None

    def take(self) -> None:
        """Lock it, and open its table. Raises FolderInUseError."""
        try:
            self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock(self._lock)
            self._table = self._open_table()
        except BlockingIOError:
            self.close()
            raise FolderInUseError(
                "another server does its jobs in it; give each server a folder of its own"
            ) from None
        except (OSError, sqlite3.Error) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) else error
            raise FolderInUseError(f"it cannot be used ({why})") from None
        except FolderInUseError:
            self.close()
            raise

    def _take_lock(self, descriptor: int) -> None:
        """Raises BlockingIOError. The process of a server that was killed ends a moment later."""
        give_up = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)
            else:
                return

    @property
    def lock_descriptor(self) -> int:
        """For the process that does the jobs: the folder is not another's while it lives."""
        assert self._lock is not None
        return self._lock

    def _open_table(self) -> sqlite3.Connection:
        """Raises FolderInUseError where the table is of another release, and sqlite3.Error."""
        path = self.path / "jobs.sqlite"  # what SQLite keeps beside it is as readable as this
        path.touch(mode=0o600)
        path.chmod(0o600)
        table = sqlite3.connect(path, check_same_thread=False)
        table.execute("PRAGMA journal_mode = WAL")
        table.execute("PRAGMA synchronous = FULL")  # what is accepted outlives a power cut
        (form,) = table.execute("PRAGMA user_version").fetchone()
        if form not in (0, _FORM):
            table.close()
            raise FolderInUseError(f"its table is of form {form}, and this release reads {_FORM}")
        if form == 0:
            with table:
                table.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, job TEXT) STRICT")
                table.execute(f"PRAGMA user_version = {_FORM}")
        return table

    def read(self) -> list[Job]:
        """The jobs that are kept, oldest first. What no job belongs to is removed, and a job whose
        files are."""
        assert self._table is not None
        rows = self._table.execute("SELECT job FROM jobs").fetchall()
        every = sorted((Job.model_validate_json(text) for (text,) in rows), key=lambda j: j.created)
        jobs = [job for job in every if self.of(job.id).is_dir()]
        known = {job.id for job in jobs}
        for lost in [job.id for job in every if job.id not in known]:
            self._forget(lost)
        for stray in self._jobs.iterdir():
            if stray.name not in known:
                shutil.rmtree(stray, ignore_errors=True)
        return jobs

    def save(self, job: Job) -> None:
        assert self._table is not None
        with self._table as table:
            table.execute(
                "INSERT OR REPLACE INTO jobs VALUES (?, ?)", (job.id, job.model_dump_json())
            )

    def make(self, job_id: str) -> None:
        """Make room for a job's files."""
        self.of(job_id).mkdir(mode=0o700)

    def remove(self, job_id: str) -> None:
        """The files first: where the disk is full, they make room for what the table is told."""
        shutil.rmtree(self.of(job_id), ignore_errors=True)
        self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        assert self._table is not None
        with self._table as table:
            table.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def keep_only(self, job_id: str, names: Iterable[str]) -> None:
        """Remove all files of a job but these."""
        kept = set(names)
        for path in self.of(job_id).iterdir():
            if path.name in kept:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def of(self, job_id: str) -> Path:
        return self._jobs / job_id

    def upload(self, job_id: str) -> Path:
        return self.of(job_id) / UPLOAD

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)  # which gives the lock back
            self._lock = None
