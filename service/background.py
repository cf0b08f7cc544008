"""What a process is that works beside a server: it takes what the machine has left, ends before the
server where memory is short, and speaks to it over a pipe.
"""

import contextlib
import os
import select
import sys
import threading
from pathlib import Path
from typing import BinaryIO


def step_back() -> None:
    """Take what the machine has left. Threads that are begun later do so too."""
    with contextlib.suppress(AttributeError, OSError):  # not every system has it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        os.nice(19)


def go_first() -> None:
    """Be what the system ends where memory is short, before the server."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def end_with(pipe: BinaryIO) -> None:
    """End at once when the other end of a pipe is closed: the server has gone, and what is under
    way, be it a load that gets little of the machine, is for nobody.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(pipe, 0)  # which is told of the end alone
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="end-with-server", daemon=True).start()


def take_stdout() -> BinaryIO:
    """The pipe to the server, out of reach of whatever else prints in this process."""
    wire = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return wire
