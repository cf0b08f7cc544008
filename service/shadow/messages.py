"""What a server and the process of its shadow say to each other: lines of JSON, and behind a line
the bytes that it announces.
"""

from collections.abc import Sequence
from typing import IO, Any

import orjson

Line = dict[str, Any]


def say(pipe: IO[bytes], line: Line, parts: Sequence[bytes] = ()) -> None:
    """Raises OSError where nobody listens."""
    sizes = [len(part) for part in parts]
    pipe.write(orjson.dumps({**line, "sizes": sizes}) + b"\n")
    pipe.writelines(parts)
    pipe.flush()


def hear(pipe: IO[bytes]) -> tuple[Line, list[bytes]] | None:
    """The next line, and its bytes; None where the other has ended."""
    text = pipe.readline()
    if not text.endswith(b"\n"):
        return None
    line: Line = orjson.loads(text)
    parts = [pipe.read(size) for size in line["sizes"]]
    if [len(part) for part in parts] != line["sizes"]:
        return None
    return line, parts
