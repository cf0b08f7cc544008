"""The process that does the jobs: this side of it.

It is a process of its own so that it can be given what the machine has left, ended in the middle,
and lost, and no request notices. It is told a job as a line of JSON, and tells how it goes so.
"""

import asyncio
import contextlib
import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.threads import on_own_thread

Event = dict[str, Any]

_END_SECONDS = 5.0

log = logging.getLogger(__name__)


class WorkerLostError(Exception):
    """The process ended, or was ended for it stood still. The text says which."""


@dataclass
class Worker:
    """Used on the event loop only, for one job at a time.

    `command` starts the process, `settings` is the first line that it is told. It is lost when it
    tells nothing for `silence_seconds`, be it only that it is at work. It has the files `kept_open`
    open as long as it lives.
    """

    command: Sequence[str]
    settings: Event
    silence_seconds: float
    kept_open: Sequence[int] = ()
    _process: "subprocess.Popen[bytes] | None" = None
    _killed: dict[int, float] = field(default_factory=dict)

    async def run(self, order: Event, tell: Callable[[Event], None]) -> Event:
        """The last event of a job, the ones before go to `tell`. Raises WorkerLostError.

        Where it is cancelled, the process is killed, and what it held is free.
        """
        loop = asyncio.get_running_loop()
        last = time.monotonic()

        def note(event: Event) -> None:
            nonlocal last
            last = time.monotonic()
            tell(event)

        def post(event: Event) -> None:
            loop.call_soon_threadsafe(note, event)

        process = self._process or await self._start()
        work = on_own_thread(lambda: _converse(process, order, post), "job-worker")
        talk = asyncio.ensure_future(work)
        try:
            while not talk.done():
                await asyncio.wait({talk}, timeout=min(1.0, self.silence_seconds / 4))
                if not talk.done() and time.monotonic() - last > self.silence_seconds:
                    raise WorkerLostError(f"it told nothing for {self.silence_seconds:g} s")
            final = talk.result()
            if final is None:
                raise WorkerLostError(await on_own_thread(lambda: _how(process), "job-worker-end"))
            return final
        except BaseException:
            talk.cancel()
            await self.kill()
            raise

    async def rest(self) -> None:
        """Let the process end, and its memory with it: it is started anew for the next job."""
        process, self._process = self._process, None
        if process is not None:
            await on_own_thread(lambda: _end(process), "job-worker-end")

    async def kill(self) -> None:
        """End the process at once. What it held is free after that, unless the system holds it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        self._killed[process.pid] = time.monotonic()
        loop = asyncio.get_running_loop()

        def reap() -> None:
            _reap(process)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._killed.pop, process.pid)

        reaping = asyncio.ensure_future(on_own_thread(reap, "job-worker-end"))
        await asyncio.wait({reaping}, timeout=_END_SECONDS)

    @property
    def stuck_seconds(self) -> float:
        """How long a process that was killed has not ended."""
        return time.monotonic() - min(self._killed.values()) if self._killed else 0.0

    async def _start(self) -> "subprocess.Popen[bytes]":
        process = await on_own_thread(lambda: self._popen(), "job-worker")
        self._process = process
        return process

    def _popen(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self.kept_open,
            # Ctrl+C at the terminal is for the server, which ends it. No session of its own: Linux
            # shares the CPUs out among sessions first (autogroup), whatever the priorities in them.
            process_group=0,
        )
        with contextlib.suppress(OSError):
            _say(process, self.settings)
        return process


def _say(process: "subprocess.Popen[bytes]", line: Event) -> None:
    assert process.stdin is not None
    process.stdin.write(orjson.dumps(line) + b"\n")
    process.stdin.flush()


def _converse(
    process: "subprocess.Popen[bytes]", order: Event, post: Callable[[Event], None]
) -> Event | None:
    """None where the process ends before the job does."""
    assert process.stdout is not None
    try:
        _say(process, order)
        for line in process.stdout:
            event: Event = orjson.loads(line)
            if event["event"] in ("done", "failed"):
                return event
            post(event)
    except (OSError, ValueError):
        log.debug("the process of jobs is gone", exc_info=True)
    return None


def _how(process: "subprocess.Popen[bytes]") -> str:
    """How a process ended that tells nothing more."""
    try:
        code = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return "it closed its pipe"
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    _reap(process)


def _reap(process: "subprocess.Popen[bytes]") -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
