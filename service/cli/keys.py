"""`segserve keys`: make, list and revoke API keys."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from models.contract import atomic
from service.protocols.keys import KeyFileError, format_line, make_key, parse_keys
from service.setting_flags import read_settings
from service.settings import variable

HELP = "make, list and revoke API keys"
DESCRIPTION = "The file of API keys. It holds their hashes alone."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["add", "list", "revoke"])
    parser.add_argument("name", nargs="?", help="whose key it is; for add and revoke")
    parser.add_argument(
        "--file", type=Path, help=f"the file (default: {variable('api_keys_file')})"
    )


def run(given: argparse.Namespace) -> int:
    path = given.file or read_settings([]).api_keys_file
    if path is None:
        raise KeyFileError(f"name the file with --file, or set {variable('api_keys_file')}.")
    if given.action == "list":
        return _list_keys(path)
    if given.name is None:
        raise KeyFileError(f"say whose key to {given.action}: `segserve keys {given.action} NAME`.")
    return KEY_ACTIONS[given.action](path, given.name)


def _add_key(path: Path, name: str) -> int:
    lines = _read_lines(path)
    if name in parse_keys("\n".join(lines)):
        raise KeyFileError(f"{name} has a key already; revoke it first, or take another name.")
    key = make_key()
    _write_lines(path, [*lines, format_line(name, key)])
    print(key)
    print("Keep it: the file has only its hash.", file=sys.stderr)
    return 0


def _list_keys(path: Path) -> int:
    print("\n".join(parse_keys("\n".join(_read_lines(path)))))
    return 0


def _revoke_key(path: Path, name: str) -> int:
    lines = _read_lines(path)
    if name not in parse_keys("\n".join(lines)):
        raise KeyFileError(f"{name} has no key in {path}.")
    _write_lines(path, [line for line in lines if name not in parse_keys(line)])
    return 0


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read: {_reason(error)}.") from None


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """A server that reads the file meanwhile finds it whole, and is let to: mode and owner stay."""
    try:
        atomic.write_text(path, "".join(f"{line}\n" for line in lines), mode=0o600)
    except OSError as error:
        mend = "; give the command as its owner or as root" if path.exists() else ""
        raise KeyFileError(f"{path} cannot be written: {_reason(error)}{mend}.") from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is no text"


KEY_ACTIONS: Mapping[str, Callable[[Path, str], int]] = {"add": _add_key, "revoke": _revoke_key}
