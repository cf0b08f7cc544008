"""`segserve` as a person at a terminal uses it."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.catalogue import store as catalogue_store
from service.cli import main
from service.cli.commands import COMMANDS, command_named
from service.protocols.keys import KeyFile


def test_models_of_a_folder_that_is_no_store_says_which_folder_is(
    solvable_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in (solvable_store / "solvable", solvable_store / "solvable" / "1"):
        assert main(["models", "--model-store", str(given)]) == 1
        assert f"the store is {solvable_store}." in capsys.readouterr().err


def test_models_says_what_it_passes_over_and_lists_the_rest(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(solvable_store / "solvable", tmp_path / "solvable")
    shutil.copytree(solvable_store / "solvable" / "1", tmp_path / "solvable" / "v2")
    assert main(["models", "--model-store", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "solvable/1 " in said.out
    assert "solvable/v2 is not a version: versions are whole numbers" in said.err


def test_models_lists_the_store_and_finds_what_is_broken(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(solvable_store, store)
    assert main(["models", "--model-store", str(store)]) == 0
    listed = capsys.readouterr().out
    assert "solvable/1" in listed
    assert "3 classes" in listed
    (store / "gray" / "1" / "saved_model.pb").write_bytes(b"")
    assert main(["models", "--model-store", str(store), "--json"]) == 1
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["solvable/1"]["classes"] == ["red", "green", "blue"]
    assert "differs from its digest" in rows["gray/1"]["fault"]


@pytest.mark.parametrize("inside", ["solvable", "solvable/1", ".."])
def test_a_store_one_level_too_high_or_too_low_is_told_which_was_meant(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    store = shutil.copytree(solvable_store, tmp_path / "all" / "store")
    of_store = ["--model-store", str(store / inside)]
    assert main(["models", *of_store]) == 1
    assert main(["predict", *of_store, str(tmp_path), "-o", str(tmp_path / "masks")]) == 2
    error = capsys.readouterr().err
    assert error.count(str(store)) >= 2
    assert error.count("\n") == 2


def test_a_key_is_made_once_listed_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    assert main(["keys", "add", "alice", "--file", str(path)]) == 0
    key = capsys.readouterr().out.strip()
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert KeyFile(path).name_of(key) == "alice"
    assert main(["keys", "add", "alice", "--file", str(path)]) == 2
    assert main(["keys", "add", "bob", "--file", str(path)]) == 0
    capsys.readouterr()
    assert main(["keys", "list", "--file", str(path)]) == 0
    assert capsys.readouterr().out == "alice\nbob\n"
    assert main(["keys", "revoke", "alice", "--file", str(path)]) == 0
    assert KeyFile(path).name_of(key) is None
    assert main(["keys", "revoke", "alice", "--file", str(path)]) == 2
    assert "has no key" in capsys.readouterr().err


def test_a_server_that_may_read_the_file_of_keys_still_may_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.touch()
    path.chmod(0o640)
    if os.geteuid() == 0:  # the service is another user, which root alone can arrange
        os.chown(path, 10001, 10002)
    before = path.stat()
    for action in ("add", "revoke"):
        assert main(["keys", action, "alice", "--file", str(path)]) == 0
        after = path.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (
            before.st_mode,
            before.st_uid,
            before.st_gid,
        )


def test_a_file_of_keys_whose_owner_cannot_be_kept_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    assert main(["keys", "add", "alice", "--file", str(path)]) == 0
    before = path.read_text()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    for action, name in (("add", "bob"), ("revoke", "alice")):
        assert main(["keys", action, name, "--file", str(path)]) == 2
        assert "give the command as its owner" in capsys.readouterr().err
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("action", ["add", "list", "revoke"])
def test_a_file_of_keys_that_is_none_is_told_of(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "binary"):
        assert main(["keys", action, "alice", "--file", str(path)]) == 2
        assert "cannot be read" in capsys.readouterr().err
    if action == "add":
        assert main(["keys", action, "alice", "--file", str(tmp_path / "none" / "keys")]) == 2
        assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["keys", "list"], ["keys", "add", "--file", "x"], ["keys", "add", "two words", "--file", "x"]],
)
def test_a_key_needs_a_file_and_a_name(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("segserve keys: ")


def test_a_port_in_use_is_one_sentence(
    solvable_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["serve", "--model-store", str(solvable_store), "--port", port]) == 2
    error = capsys.readouterr().err
    assert f"segserve serve: Port {port} of 127.0.0.1 is in use by another program" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "99999"], "SEGSERVE_PORT (flag --port) is '99999'"),
        (["--host", "no.such.host.invalid"], "not an address of this machine"),
        (["--model-store", "/nowhere"], "SEGSERVE_MODEL_STORE (flag --model-store) is '/nowhere'"),
        (["--models", "a b"], "SEGSERVE_MODELS"),
        (["--default-model", "a/b/c"], "SEGSERVE_DEFAULT_MODEL"),
        (
            ["--models", "solvable/1", "--default-model", "gray"],
            "SEGSERVE_DEFAULT_MODEL (flag --default-model) is 'gray': it is not among",
        ),
        (["--models", "solvable/1", "--default-model", "solvable/2"], "it is not among"),
        (["--prot", "80"], "unrecognized arguments: --prot 80; did you mean --port?"),
        (["--api-keys-file", "/nowhere"], "SEGSERVE_API_KEYS_FILE"),
        (["--max-held-upload-bytes", "1000"], "268435456 bytes, would never fit"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    solvable_store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["serve", "--model-store", str(solvable_store), *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"), [([], 2), (["sevre"], 2), (["--help"], 0), (["-h"], 0)]
)
def test_a_person_who_does_not_know_the_commands_is_shown_them(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    streams = capsys.readouterr()
    shown = streams.out if code == 0 else streams.err
    for command in ("serve", "predict", "models", "keys", "openapi"):
        assert f"  {command} " in shown


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"segserve \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_that_begins_with_its_usage(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: segserve {command}")
    assert command_named(command).DESCRIPTION.split()[0] in shown


def test_a_command_imports_no_other() -> None:
    script = (
        "import sys; from service.cli import main; main(['keys', 'list', '--file', 'nowhere']); "
        "print(sorted({'fastapi', 'openvino', 'service.app'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_flag_is_one_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--no-such-flag"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"segserve {command}: ")
    assert error.endswith(f"; see `segserve {command} --help`\n")
    assert error.count("\n") == 1


def test_what_the_system_says_no_to_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert main(["keys", "add", "alice", "--file", str(tmp_path / "file" / "keys.txt")]) == 2
    assert main(["models", "--model-store", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "Not a directory" in error


def test_the_bundled_store_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "street/1" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["models"], ["predict", "a.png", "-o", "out"]])
def test_ctrl_c_while_the_store_is_first_read_ends_with_a_sentence(
    solvable_store: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    def interrupted(_path: Path) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(catalogue_store, "find_versions", interrupted)
    assert main([*arguments, "--model-store", str(solvable_store)]) == 130
    said = capsys.readouterr().err
    assert said.strip() == f"segserve {arguments[0]}: stopped (SIGINT) before it was done."
