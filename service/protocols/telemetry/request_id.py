"""The id that ties a request's answer, its log lines and its trace together."""

import random
import re
from contextvars import ContextVar

HEADER = "X-Request-ID"

_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# Ids are no secrets. The system's own random numbers come by a call that lets go of the GIL, and
# the event loop then waits for threads that took it meanwhile.
_random = random.Random()
_current: ContextVar[str] = ContextVar("request_id", default="-")


def current_request_id() -> str:
    """The id of the request that this task works for; "-" outside of any."""
    return _current.get()


def new_request_id() -> str:
    """16 hexadecimal digits."""
    return f"{_random.getrandbits(64):016x}"


def begin_request(sent_by_client: str | None) -> str:
    """Take the client's id where it is sane (it ends up in logs and headers), else make one."""
    request_id = (
        sent_by_client if sent_by_client and _SANE.fullmatch(sent_by_client) else new_request_id()
    )
    _current.set(request_id)
    return request_id
