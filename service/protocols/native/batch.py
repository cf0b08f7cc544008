"""Many images in one answer: names that are safe to unpack, and the two containers they come in."""

import base64
import io
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson
from starlette.concurrency import run_in_threadpool

from service.inference.inference import Answer
from service.protocols.native.negotiation import choose
from service.protocols.problems import MalformedRequestError, Problem
from service.protocols.telemetry.tracing import stages_of

ERRORS_NAME = "errors.json"

_MAX_STEM_LENGTH = 100
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]+')
_JSON = re.compile(r"application/(.+\+)?json")


@dataclass(frozen=True)
class Entry:
    """The outcome of one image: an answer or a problem.

    `filename` is as the client wrote it, `stem` is safe.
    """

    index: int
    filename: str
    stem: str
    outcome: Answer | Problem


@dataclass(frozen=True)
class Container:
    name: str
    media_type: str
    write: Callable[[AsyncIterator[Entry]], AsyncGenerator[bytes]]


def safe_stems(filenames: Iterable[str]) -> list[str]:
    """A stem for each file name: no folders, nothing hidden, no two the same even where case does
    not count.

    Where different names would have one (photo.jpg, photo.png), each stays whole; of names that are
    the same, or become so, the later ones get a number, in the order of the upload.
    """
    names = [_safe_name(filename) for filename in filenames]
    short = [name.rpartition(".")[0] if "." in name else name for name in names]
    kinds = Counter(
        stem
        for stem, _ in {(s.casefold(), n.casefold()) for s, n in zip(short, names, strict=True)}
    )
    taken = {ERRORS_NAME.partition(".")[0]}
    stems = []
    for index, (name, shorter) in enumerate(zip(names, short, strict=True)):
        stem = shorter if kinds[shorter.casefold()] == 1 or not shorter else name
        stem = unique = stem.strip(" .")[:_MAX_STEM_LENGTH] or f"image-{index}"
        number = 2
        while unique.casefold() in taken:
            unique = f"{stem}-{number}"
            number += 1
        taken.add(unique.casefold())
        stems.append(unique)
    return stems


def _safe_name(filename: str) -> str:
    name = unicodedata.normalize("NFC", filename).replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in _UNSAFE.sub("_", name) if c.isprintable())


async def write_zip(entries: AsyncIterator[Entry]) -> AsyncGenerator[bytes]:
    """A ZIP with a file an answer, in the order they are ready, and the problems in errors.json."""
    tail = _Tail()
    failed: list[tuple[int, dict[str, object]]] = []
    with zipfile.ZipFile(tail, "w") as archive:
        async for entry in entries:
            if isinstance(entry.outcome, Problem):
                failed.append((entry.index, _problem_line(entry, entry.outcome)))
            else:
                encoded = entry.outcome.encoded
                packing = (
                    zipfile.ZIP_DEFLATED
                    if _JSON.fullmatch(encoded.media_type)
                    else zipfile.ZIP_STORED
                )
                await run_in_threadpool(
                    archive.writestr, entry.stem + encoded.extension, encoded.body, packing, 1
                )
                yield tail.take()
        if failed:
            failed.sort(key=lambda pair: pair[0])
            problems = [problem for _, problem in failed]
            archive.writestr(ERRORS_NAME, orjson.dumps(problems, option=orjson.OPT_INDENT_2))
    yield tail.take()


async def write_ndjson(entries: AsyncIterator[Entry]) -> AsyncGenerator[bytes]:
    """A line of JSON an image, in the order they are ready."""
    async for entry in entries:
        if isinstance(entry.outcome, Problem):
            yield orjson.dumps(
                _problem_line(entry, entry.outcome), option=orjson.OPT_APPEND_NEWLINE
            )
        else:
            yield await run_in_threadpool(_answer_line, entry, entry.outcome)


CONTAINERS: Mapping[str, Container] = {
    container.name: container
    for container in (
        Container("zip", "application/zip", write_zip),
        Container("ndjson", "application/x-ndjson", write_ndjson),
    )
}


def choose_container(name: str | None, accept: str | None) -> Container:
    """By name where there is one, else by Accept.

    Raises MalformedRequestError and NotAcceptableError.
    """
    if name is None:
        media_type = choose(accept, [container.media_type for container in CONTAINERS.values()])
        return next(
            container for container in CONTAINERS.values() if container.media_type == media_type
        )
    if name not in CONTAINERS:
        raise MalformedRequestError(
            f"Parameter container is {name!r}; it can be {' or '.join(CONTAINERS)}."
        )
    return CONTAINERS[name]


def _answer_line(entry: Entry, answer: Answer) -> bytes:
    encoded = answer.encoded
    if _JSON.fullmatch(encoded.media_type):
        result: dict[str, object] = {"result": orjson.Fragment(encoded.body)}
    else:
        result = {"result_base64": base64.b64encode(encoded.body).decode()}
    line = {
        "index": entry.index,
        "filename": entry.filename,
        "model": answer.model_id,
        "width": answer.width,
        "height": answer.height,
        "scale": round(answer.scale, 6),
        **({} if answer.window is None else {"intensity": list(answer.window)}),
        **answer.observation.document(),
        "tiles": answer.tiles,
        "blended": answer.blended,
        "page": answer.page,
        "pages": answer.pages,
        "seconds": dict(stages_of(answer.timings)),
        "media_type": encoded.media_type,
        **result,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _problem_line(entry: Entry, problem: Problem) -> dict[str, object]:
    return {"index": entry.index, "filename": entry.filename, "problem": problem.model_dump()}


class _Tail(io.RawIOBase):
    """A file of which what is finished is taken away. zipfile seeks back within the member it
    writes, no further.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0
        self._rest = io.BytesIO()

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._taken + self._rest.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only absolute positions")
        return self._taken + self._rest.seek(offset - self._taken)

    def write(self, data: object) -> int:
        return self._rest.write(data)  # type: ignore[arg-type]

    def take(self) -> bytes:
        finished = self._rest.getvalue()
        self._taken += len(finished)
        self._rest = io.BytesIO()
        return finished
