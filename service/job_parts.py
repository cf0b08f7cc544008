"""What jobs are made with, by the settings."""

import sys
from typing import Any

from service.domain.errors import ServiceError
from service.jobs.errors import FolderInUseError
from service.jobs.folder import JobFolder
from service.jobs.jobs import Jobs
from service.jobs.room import JobLimits
from service.jobs.webhook import Webhooks, origin_of, parse_secret
from service.jobs.worker import Worker
from service.protocols.problems import make_problem, row_of
from service.settings import Settings, setting_error, variable

# Where the process of jobs is: it is above this floor, and started by its name.
WORKER = "service.job_worker"

# It says that it is alive every few seconds, and much later beside a busy server.
SILENCE_SECONDS = 300.0


def make_jobs(settings: Settings) -> Jobs | None:
    """None where they are not asked for. The folder is this server's from here on.

    Raises SettingError.
    """
    if settings.job_folder is None:
        return None
    if settings.max_job_folder_bytes < settings.max_job_bytes:
        raise setting_error(
            settings,
            "max_job_folder_bytes",
            f"the largest file of a job, {settings.max_job_bytes} bytes, would never fit",
        )
    webhooks = _make_webhooks(settings)
    folder = JobFolder(settings.job_folder)
    try:
        folder.take()
    except FolderInUseError as error:
        raise setting_error(settings, "job_folder", str(error)) from None
    worker = Worker(
        command=[sys.executable, "-m", WORKER],
        settings={"settings": settings.model_dump(mode="json")},
        silence_seconds=SILENCE_SECONDS,
        kept_open=[folder.lock_descriptor],
    )
    return Jobs(folder, make_job_limits(settings), worker, _describe, webhooks)


def _make_webhooks(settings: Settings) -> Webhooks:
    """Raises SettingError."""
    secret, file = b"", settings.job_webhook_secret_file
    try:
        origins = frozenset(map(origin_of, settings.job_webhook_origins))
    except ValueError as error:
        raise setting_error(settings, "job_webhook_origins", str(error)) from None
    if origins and file is None:
        raise setting_error(
            settings,
            "job_webhook_origins",
            f"what they are told is signed; set {variable('job_webhook_secret_file')} too",
        )
    if file is not None:
        try:
            secret = parse_secret(file.read_text())
        except ValueError as error:  # of bytes that are no text too
            raise setting_error(settings, "job_webhook_secret_file", str(error)) from None
        except OSError as error:
            raise setting_error(settings, "job_webhook_secret_file", str(error.strerror)) from None
    return Webhooks(origins, secret, settings.root_path)


def make_job_limits(settings: Settings) -> JobLimits:
    return JobLimits(
        max_job_bytes=settings.max_job_bytes,
        max_folder_bytes=settings.max_job_folder_bytes,
        max_jobs=settings.max_jobs,
        max_key_jobs=settings.max_key_jobs,
        upload_age_seconds=settings.job_upload_age_seconds,
        result_age_seconds=settings.job_result_age_seconds,
    )


def _describe(error: ServiceError, request_id: str) -> dict[str, Any]:
    return make_problem(row_of(error), str(error), request_id).model_dump()
