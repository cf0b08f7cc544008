"""`segserve keys`: make, list and revoke API keys."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from service.protocols.keys import KeyFileError, format_line, make_key, parse_keys
from service.settings import read_settings, variable

HELP = "make, list and revoke API keys"


def run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "segserve keys",
        description="The file of API keys. It holds their hashes alone.",
        allow_abbrev=False,
    )
    parser.add_argument("action", choices=["add", "list", "revoke"])
    parser.add_argument("name", nargs="?", help="whose key it is; for add and revoke")
    parser.add_argument(
        "--file", type=Path, help=f"the file (default: {variable('api_keys_file')})"
    )
    given = parser.parse_args(arguments)
    path = given.file or read_settings([]).api_keys_file
    if path is None:
        raise KeyFileError(f"name the file with --file, or set {variable('api_keys_file')}.")
    if given.action == "list":
        print("\n".join(parse_keys(path.read_text())) if path.exists() else "")
        return 0
    if given.name is None:
        raise KeyFileError(f"say whose key to {given.action}: `segserve keys {given.action} NAME`.")
    return KEY_ACTIONS[given.action](path, given.name)


def _add_key(path: Path, name: str) -> int:
    lines = path.read_text().splitlines() if path.exists() else []
    if name in parse_keys("\n".join(lines)):
        raise KeyFileError(f"{name} has a key already; revoke it first, or take another name.")
    key = make_key()
    _write_lines(path, [*lines, format_line(name, key)])
    print(key)
    print("Keep it: the file has only its hash.", file=sys.stderr)
    return 0


def _revoke_key(path: Path, name: str) -> int:
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if name not in parse_keys(line)]
    if len(kept) == len(lines):
        raise KeyFileError(f"{name} has no key in {path}.")
    _write_lines(path, kept)
    return 0


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write beside and rename, so that a server that reads the file meanwhile finds it whole."""
    part = path.with_name(f".{path.name}.part")
    part.touch(mode=0o600)
    part.write_text("".join(f"{line}\n" for line in lines))
    part.replace(path)


KEY_ACTIONS: Mapping[str, Callable[[Path, str], int]] = {"add": _add_key, "revoke": _revoke_key}
