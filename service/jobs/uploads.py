"""How a job's file comes: in one request, or announced and then in parts."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

from service.domain.errors import ServiceError
from service.jobs.errors import UploadConflictError
from service.jobs.incoming import CHECKPOINT_BYTES, Incoming
from service.jobs.job import Job, Wish
from service.jobs.kept import KeptJobs, disk_faults
from service.jobs.room import Room


class Upload:
    """Takes the parts of a job's file. `job` is the job as it is by then."""

    def __init__(self, kept: KeptJobs, room: Room, job: Job) -> None:
        self.job = job
        self._kept, self._room = kept, room
        self._incoming = Incoming(kept.folder.upload(job.id), job.received, kept.threads)

    @property
    def is_empty(self) -> bool:
        return self._incoming.received == 0

    def name(self, file_name: str | None) -> None:
        """Note what the caller calls the file."""
        wish = self.job.wish.model_copy(update={"file_name": file_name})
        self.job = self._kept.note(self.job.model_copy(update={"wish": wish}))

    async def write(self, part: bytes | bytearray | memoryview) -> None:
        """Raises JobTooLargeError, JobFolderFullError, JobFolderUnusableError,
        UploadConflictError, and UnknownJobError where the job was removed meanwhile.
        """
        incoming = self._incoming
        self.check(incoming.received + len(part))
        with disk_faults():
            await incoming.write(part)
            if incoming.written - incoming.safe >= CHECKPOINT_BYTES:
                await self._checkpoint()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """What came by the end of the block, however it ends, is safe then."""
        try:
            with disk_faults():
                await self._incoming.open()
            try:
                yield
            finally:
                with disk_faults():
                    await asyncio.shield(self._checkpoint())
        finally:
            await self._incoming.close()

    def check(self, received: int) -> None:
        """Whether so many bytes may be received in all. Raises as `write`."""
        job = self._kept.get(self.job.id)
        if job.size is None:
            self._room.check_size(received)
            self._room.check_bytes(received - job.received)
            self.job = self._kept.note(job.model_copy(update={"received": received}))
        elif received > job.size:
            raise UploadConflictError(
                f"The file was announced with {job.size} bytes, and more came. Announce it anew."
            )

    async def _checkpoint(self) -> None:
        safe = await self._incoming.checkpoint()
        job = self._kept.get(self.job.id).model_copy(update={"received": safe})
        # where its size was not announced, nobody could send the rest of it
        self.job = self._kept.note(job) if job.size is None else await self._kept.save(job)


class Uploads:
    """Used on the event loop only. `accepted` is called with each job whose file is there."""

    def __init__(self, kept: KeptJobs, room: Room, accepted: Callable[[], None]) -> None:
        self._kept, self._room, self._accepted = kept, room, accepted
        self.writing: set[str] = set()

    @asynccontextmanager
    async def whole(self, owner: str, wish: Wish, request_id: str) -> AsyncGenerator[Upload]:
        """A job whose whole file comes in the block, and which is queued after it.

        It is gone where the block raises.
        """
        job = Job.new(owner, wish, request_id, None)
        upload = Upload(self._kept, self._room, job)
        try:
            await self._kept.make(job)
            with self._alone_at(job):
                async with upload.writing():
                    yield upload
            upload.job = await self._accept(job.id)
        except BaseException:
            with contextlib.suppress(ServiceError):
                await asyncio.shield(self._kept.remove(job.id))
            raise

    async def announce(self, owner: str, wish: Wish, request_id: str, size: int) -> Job:
        """A job whose file comes in parts, by `part`."""
        job = Job.new(owner, wish, request_id, size)
        try:
            await self._kept.make(job)
            await self._kept.save(job)
        except BaseException:
            with contextlib.suppress(ServiceError):
                await asyncio.shield(self._kept.remove(job.id))
            raise
        return job

    @asynccontextmanager
    async def part(self, job: Job, offset: int, size: int) -> AsyncGenerator[Upload]:
        """The next part of an announced file, of `size` bytes where that is known, else 0; what
        came of it is kept however the block ends.

        Raises UploadConflictError.
        """
        check_part(job, offset, is_written=job.id in self.writing)
        upload = Upload(self._kept, self._room, job)
        upload.check(offset + size)
        with self._alone_at(job):
            async with upload.writing():
                yield upload
            if upload.job.received == job.size:
                upload.job = await self._accept(job.id)

    async def _accept(self, job_id: str) -> Job:
        job = self._kept.get(job_id)
        await self._kept.sync(job)
        job = await self._kept.save(job.became("queued", size=job.received))
        self._accepted()
        return job

    @contextlib.contextmanager
    def _alone_at(self, job: Job) -> Iterator[None]:
        self.writing.add(job.id)
        try:
            yield
        finally:
            self.writing.discard(job.id)


def check_part(job: Job, offset: int, *, is_written: bool) -> None:
    """Whether a part that begins at `offset` goes on with the job's file. Raises
    UploadConflictError.
    """
    if job.state != "uploading":
        raise UploadConflictError("The whole file has arrived; GET of the job says the rest.")
    if is_written:
        raise UploadConflictError(
            "Another request is sending this file. Wait until it has ended, ask by HEAD how much "
            "has arrived, and go on from there."
        )
    if offset != job.received:
        raise UploadConflictError(
            f"{job.received} bytes of the file have arrived, and this part begins at {offset}. Go "
            "on from where the answer to HEAD says."
        )
