"""The picture of a task, as Label Studio's projects name it."""

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from service.protocols.base64_text import decode_base64
from service.protocols.fetching import Fetcher, FetchError
from service.protocols.problems import BodyTooLargeError

_CLOUDS: Final = ("s3", "gs", "azure-blob")
# What Label Studio writes where a configuration has not said which member names the picture.
_UNDEFINED: Final = "$undefined$"


def reference_of(task: Mapping[str, Any], image_key: str) -> str:
    """How a task names its picture. Raises FetchError."""
    data = task.get("data")
    value = data.get(image_key, data.get(_UNDEFINED)) if isinstance(data, dict) else None
    if not isinstance(value, str) or not value:
        raise FetchError(
            f"The task has no text in data[{image_key[:80]!r}], which is to name its picture."
        )
    return value


async def load_image(
    reference: str, task_id: object, fetcher: Fetcher | None, max_bytes: int, deadline: float
) -> bytes:
    """The picture's file: from the text itself, or fetched. Raises FetchError and RequestError."""
    if reference.startswith("data:"):
        return _inline(reference, max_bytes)
    if fetcher is None:
        raise FetchError(
            "The picture is not fetched, for this server does not know Label Studio's address. Its "
            "operator sets SEGSERVE_LABEL_STUDIO_URL."
        )
    return await fetcher.fetch(url_of(reference, task_id, fetcher.site.url), deadline)


def url_of(reference: str, task_id: object, site: str) -> str:
    """Where a picture is to be had. Raises FetchError where its name is none of Label Studio's."""
    base = site.rstrip("/")
    scheme = urlsplit(reference).scheme
    if scheme in ("http", "https"):
        return reference
    if scheme in _CLOUDS:
        key = base64.urlsafe_b64encode(reference.encode()).decode()
        if not isinstance(task_id, int):
            raise FetchError(f"The task of {reference[:200]!r} has no number to ask for it by.")
        return f"{base}/tasks/{task_id}/presign/?fileuri={key}"
    if scheme or reference.startswith("//"):
        raise FetchError(
            f"{reference[:200]!r} is not fetched; a task names its picture by an http or https "
            "URL, a path of Label Studio's, or a URL of a storage that it is connected to."
        )
    path = "/" + reference.removeprefix("/")
    if path.startswith("/upload/"):
        path = "/data" + path
    prefix = urlsplit(base).path
    return base.removesuffix(prefix) + path if path.startswith(prefix + "/") else base + path


def _inline(reference: str, max_bytes: int) -> bytes:
    head, comma, text = reference.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise FetchError("A picture in a data URL is to begin with data:image/…;base64,")
    if len(text) * 3 // 4 > max_bytes:
        raise BodyTooLargeError(
            f"The picture in the data URL has more bytes than the limit of {max_bytes}."
        )
    return decode_base64(text, "The picture in the data URL")
