"""API keys: a file of their hashes, read again when it changes."""

import hashlib
import hmac
import logging
import re
import secrets
import time
from pathlib import Path

from models.contract.errors import UserError

# Keys are 256 random bits, so one round of SHA-256 is enough: there is no dictionary to try.
_KEY_BYTES = 32
_LINE = re.compile(r"(?P<name>[^\s:#]{1,64})\s+sha256:(?P<digest>[0-9a-f]{64})")
_RECHECK_SECONDS = 1.0

log = logging.getLogger(__name__)


class KeyFileError(UserError):
    """The file of API keys cannot be used. The text says which line, and what to do."""


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def make_key() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def format_line(name: str, key: str) -> str:
    """The line of the key file that lets `key` in.

    Raises KeyFileError for a name that does not fit in it.
    """
    line = f"{name} sha256:{hash_key(key)}"
    if not _LINE.fullmatch(line):
        raise KeyFileError(
            f"{name!r} cannot name a key: take 1 to 64 characters without blanks, colons and #."
        )
    return line


def parse_keys(text: str) -> dict[str, str]:
    """Map each name to its key's SHA-256. Raises KeyFileError that names the first bad line."""
    keys: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = _LINE.fullmatch(content)
        if match is None:
            raise KeyFileError(
                f"line {number} is not `NAME sha256:<64 hex digits>`; `segserve keys add` writes "
                "such lines"
            )
        if match["name"] in keys:
            raise KeyFileError(
                f"line {number} names {match['name']} a second time; give each key its own name"
            )
        keys[match["name"]] = match["digest"]
    return keys


class KeyFile:
    """The keys that may call. While the file cannot be read, no key may."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._checked_at = 0.0
        self._keys: dict[str, str] = {}
        self.read()

    def read(self) -> None:
        """Read the file now. Raises KeyFileError."""
        try:
            self._stamp = self._current_stamp()
            self._keys = parse_keys(self._path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            self._keys = {}
            raise KeyFileError(f"it cannot be read ({type(error).__name__})") from error
        except KeyFileError:
            self._keys = {}
            raise

    def name_of(self, key: str) -> str | None:
        """The name of `key`, or None where it may not call.

        Takes the same time for each key that may not.
        """
        self._read_if_changed()
        digest = hash_key(key)
        found = None
        for name, known in self._keys.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _read_if_changed(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < _RECHECK_SECONDS:
            return
        self._checked_at = now
        try:
            if self._current_stamp() != self._stamp:
                self.read()
                log.info("API keys read again: %d", len(self._keys))
        except (OSError, KeyFileError) as error:
            self._keys, self._stamp = {}, None
            log.error("no API key is let in until the file of keys is fixed: %s", error)

    def _current_stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
