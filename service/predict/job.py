"""Files in, files out: pictures of files and folders segmented without HTTP.

Start reading here: `predict`, then `_Run._do`.
"""

import asyncio
import errno
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from models.contract import atomic
from service.concurrency import as_completed
from service.domain.errors import ServiceError
from service.outputs.output import Output, OutputOptions
from service.outputs.project import Project
from service.predict.errors import PredictError
from service.predict.ledger import Note, Picture, Recipe
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.predict.plan import Faults, Ledgers, Plan, Step, plan
from service.predict.progress import Progress
from service.predict.project import ProjectFiles

# Faults of a disk that the next picture would meet too.
_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# What a job that was told to end may take to: the batch at work has to be done.
END_SECONDS = 15.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    sources: tuple[Path, ...]
    out: Path
    format: Output
    options: OutputOptions
    overwrite: bool

    @property
    def extension(self) -> str:
        return self.format.extension(self.options)


@dataclass(frozen=True)
class Summary:
    """`failures` pairs a path with what was wrong with it, `notes` with what to know of its answer;
    `stopped` says why `left` pictures are still to be done. `project` are the files for a tool to
    import that were written.
    """

    written: int
    skipped: int
    failures: tuple[tuple[Path, str], ...]
    left: int = 0
    stopped: str | None = None
    signal: int | None = None
    notes: tuple[tuple[Path, str], ...] = ()
    project: tuple[Path, ...] = ()


def predict(job: Job, model: PinnedModel) -> Summary:
    """Do what of the job is not done. Raises PredictError before anything is written."""
    recipe = Recipe.of(model, job.format.name, job.options)
    ledgers = Ledgers()
    project = job.format.project
    planned = plan(
        job.sources,
        job.out,
        job.extension,
        recipe,
        ledgers,
        overwrite=job.overwrite,
        project=project,
    )
    files = ProjectFiles(project or Project({}), job.out, recipe, ledgers)
    files.refuse_strangers(overwrite=job.overwrite)
    summary = Summary(0, planned.skipped, planned.faults)
    if planned.steps:
        _make_folders(planned, files, ledgers)
        run = _Run(planned, job, recipe, ledgers)
        asyncio.run(run.all(model))
        summary = run.summary()
    if summary.stopped is not None:
        return summary
    failed = {source for source, _ in summary.failures}
    answered = [step for step in (*planned.done, *planned.steps) if step.source not in failed]
    steps = sorted(answered, key=lambda step: step.name)
    try:
        return replace(summary, project=files.write(steps, model.contract, job.options))
    except OSError as error:
        return replace(summary, stopped=f"{error.strerror}: {error.filename or job.out}")


def _make_folders(planned: Plan, files: ProjectFiles, ledgers: Ledgers) -> None:
    """Before a model is loaded, so that a disk that takes nothing is found at once. Raises
    PredictError.
    """
    try:
        files.remove()
        for folder in sorted({to.parent for step in planned.steps for to in step.targets}):
            folder.mkdir(parents=True, exist_ok=True)
            ledgers.of(folder).tidy()
    except OSError as error:
        raise PredictError(f"{error.filename} cannot be written: {error.strerror}.") from None


class _DiskFullError(Exception):
    """The disk takes no more answers. The text says why."""


@dataclass
class _Run:
    planned: Plan
    job: Job
    recipe: Recipe
    ledgers: Ledgers
    written: int = 0
    failures: Faults = field(default_factory=list)
    notes: Faults = field(default_factory=list)
    stopped: str | None = None
    signal: int | None = None

    async def all(self, model: PinnedModel) -> None:
        """Do every step, until a signal or a full disk ends it. What is written by then is whole
        and noted.
        """
        work = asyncio.create_task(self._all(model))
        with stopping_on_signals(self, work):
            try:
                await work
            except asyncio.CancelledError:
                if self.signal is None:
                    raise
            except _DiskFullError as fault:
                self.stopped = str(fault)

    def summary(self) -> Summary:
        left = len(self.planned.steps) - self.written - len(self.failures)
        failures = sorted([*self.planned.faults, *self.failures])
        return Summary(
            self.written,
            self.planned.skipped,
            tuple(failures),
            left,
            self.stopped,
            self.signal,
            tuple(sorted(self.notes)),
        )

    async def _all(self, pinned: PinnedModel) -> None:
        model = LoadedModel(pinned)
        try:
            await model.load()
            work = [partial(self._do, step, model) for step in self.planned.steps]
            with Progress(len(work)) as progress:
                async with aclosing(as_completed(work, model.at_once)) as outcomes:
                    async for fault in outcomes:
                        if fault is None:
                            self.written += 1
                        else:
                            self.failures.append(fault)
                        progress.advance()
        finally:
            await model.close()

    async def _do(self, step: Step, model: LoadedModel) -> tuple[Path, str] | None:
        """Segment one picture; what was wrong with it, if anything was. Raises _DiskFullError."""
        try:
            picture, body = await asyncio.to_thread(Picture.read, step.source, step.target.parent)
            name = step.source.name if self.job.format.project is None else step.name
            said = os.fsencode(name).decode(errors="replace")  # names need not be UTF-8
            answer = await model.segment(body, self.job.format, self.job.options, said)
            await asyncio.to_thread(self._write, step, picture, body, answer.encoded.chunks)
            if answer.pages > 1 and self.job.options.page is None:
                note = (
                    f"page {answer.page} of {answer.pages} was segmented; `-p page=N` chooses one."
                )
                self.notes.append((step.source, note))
        except (ServiceError, PredictError) as error:
            return step.source, str(error)
        except OSError as error:
            if error.errno in _DISK_FAULTS:
                raise _DiskFullError(f"{error.strerror}: {step.target.parent}") from None
            return step.source, f"{error.strerror}: {error.filename}"
        return None

    def _write(self, step: Step, picture: Picture, body: bytes, chunks: Sequence[bytes]) -> None:
        """Write the answer, after the copy of its picture where one is wanted. Raises OSError and
        PredictError.
        """
        if step.copy is not None:
            own = Picture.read(step.source, step.copy.parent)[0]
            self._place(step.copy, replace(picture, path=own.path), [body])
        self._place(step.target, picture, chunks)

    def _place(self, target: Path, picture: Picture, chunks: Sequence[bytes]) -> None:
        """Note a file, then let it appear. Raises OSError and PredictError."""
        ledger = self.ledgers.of(target.parent)
        if os.path.lexists(target) and not ledger.is_unchanged(target.name):
            ledger = self.ledgers.read_again(target.parent)
            if not ledger.is_unchanged(target.name):
                raise PredictError(f"{target} was changed or put there meanwhile and stays.")
        ledger.add(Note.of(target.name, chunks, picture, self.recipe))
        with atomic.replacing(target) as partial_path, partial_path.open("wb") as file:
            file.writelines(chunks)


class Stoppable(Protocol):
    """What is told of the signal that ends its work."""

    stopped: str | None
    signal: int | None


@contextmanager
def stopping_on_signals(run: Stoppable, work: "asyncio.Task[None]") -> Iterator[None]:
    """The first SIGINT or SIGTERM cancels `work`; a second one ends the process as it would any.

    Where something hangs, the process ends by itself `END_SECONDS` after the first.
    """
    loop = asyncio.get_running_loop()
    is_main = threading.current_thread() is threading.main_thread()  # others get no signals
    signals = [signal.SIGINT, signal.SIGTERM] if is_main else []

    def stop(number: int) -> None:
        run.signal, run.stopped = number, signal.Signals(number).name
        work.cancel()
        giving_up = threading.Timer(END_SECONDS, _end_process, (number,))
        giving_up.daemon = True
        giving_up.start()
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, stop, each)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _end_process(number: int) -> None:
    """What is written is whole and noted, so nothing is lost by it."""
    log.error(
        "segserve predict: it did not end within %g s of %s, for a load, a read or a batch hangs; "
        "it is ended all the same. Run the same command again to resume.",
        END_SECONDS,
        signal.Signals(number).name,
    )
    logging.shutdown()
    os._exit(128 + number)  # as shells have it
