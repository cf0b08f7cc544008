"""Files that come in parts, and go on where they stopped: tus 1.0.0 with its extensions creation,
expiration and termination (https://tus.io/protocols/resumable-upload).
"""

import base64
import binascii
from email.utils import formatdate

from starlette.requests import Request

from service.jobs.job import Job
from service.protocols.native.body import bare_name
from service.protocols.problems import (
    MalformedRequestError,
    UnsupportedBodyError,
    UploadVersionError,
)

VERSION = UploadVersionError.supported
EXTENSIONS = "creation,expiration,termination"
PART_TYPE = "application/offset+octet-stream"

_MAX_METADATA_BYTES = 8192


def is_meant(request: Request) -> bool:
    """Whether a request speaks tus. Raises UploadVersionError where it is of another version."""
    sent = request.headers.get("tus-resumable")
    if sent is None and "upload-length" not in request.headers:
        return False
    if sent != VERSION:
        raise UploadVersionError(
            f"The header Tus-Resumable is {(sent or '')[:40]!r}; this server speaks {VERSION}."
        )
    return True


def check_part(request: Request) -> None:
    """Raises UploadVersionError and UnsupportedBodyError."""
    if not is_meant(request):
        raise UploadVersionError(
            f"The request has no header Tus-Resumable; this server speaks {VERSION}."
        )
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != PART_TYPE:
        raise UnsupportedBodyError(
            f"The Content-Type is {given[:100]!r}. A part of a file comes as {PART_TYPE}."
        )


def read_number(request: Request, header: str) -> int:
    """A header that is a number of bytes. Raises MalformedRequestError."""
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise MalformedRequestError(
            f"The header {header} is {text[:40]!r}; it takes a number of bytes."
        )
    return int(text)


def read_file_name(request: Request) -> str | None:
    """That in Upload-Metadata: pairs of a key and base64, with commas between them. Raises
    MalformedRequestError.
    """
    text = request.headers.get("upload-metadata", "")
    if len(text) > _MAX_METADATA_BYTES:
        raise MalformedRequestError(
            f"The header Upload-Metadata has {len(text)} bytes; the limit is {_MAX_METADATA_BYTES}."
        )
    for pair in text.split(","):
        key, _, value = pair.strip().partition(" ")
        if key in ("filename", "name"):
            try:
                return bare_name(base64.b64decode(value, validate=True).decode(errors="replace"))
            except binascii.Error:
                raise MalformedRequestError(
                    f"{key} in the header Upload-Metadata is not base64."
                ) from None
    return None


def headers_of_upload(job: Job, age_seconds: float) -> dict[str, str]:
    """How much of a job's file has arrived, and until when it may."""
    headers = {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(job.received),
        "Cache-Control": "no-store",
    }
    if job.size is not None:
        headers["Upload-Length"] = str(job.size)
    if job.state == "uploading":
        headers["Upload-Expires"] = formatdate(job.created + age_seconds, usegmt=True)
    return headers
