"""Dockerfile, .dockerignore and what the image runs, as far as that needs no engine."""

import fnmatch
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.settings import Settings, variable
from tests.service.serving import serving

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HEALTHCHECK = ROOT / "deploy" / "image" / "healthcheck.py"
SLIM = ROOT / "deploy" / "image" / "slim.py"


def instructions() -> list[list[str]]:
    """The Dockerfile's instructions as words, one a line however it is broken."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [line.split() for line in joined.splitlines() if line.strip()]


def stages() -> dict[str, list[list[str]]]:
    """The instructions of each stage by its name; the last, which has none, is ""."""
    found: dict[str, list[list[str]]] = {}
    for words in instructions():
        if words[0] == "FROM":
            found[words[3] if len(words) > 2 else ""] = []
        if found:
            found[list(found)[-1]].append(words)
    return found


def lineage(name: str) -> list[list[str]]:
    """The instructions of a stage and of those it is made from, the first first."""
    own = stages()[name]
    parent = own[0][1]
    return [*(lineage(parent) if parent in stages() else []), *own]


def context_files() -> set[str]:
    """The files that .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    tops = {pattern[1:].split("/")[0] for pattern in patterns if pattern.startswith("!")}
    return {
        name
        for top in tops
        for path in [ROOT / top, *(ROOT / top).rglob("*")]
        if path.is_file() and _passes(name := path.relative_to(ROOT).as_posix(), patterns)
    }


def _passes(name: str, patterns: list[str]) -> bool:
    passes = True
    for pattern in patterns:
        bare = pattern.removeprefix("!").removeprefix("**/")
        places = [name, *(parent.as_posix() for parent in Path(name).parents)]
        if pattern.startswith("**/"):
            places = list(Path(name).parts)
        if any(fnmatch.fnmatch(place, bare) for place in places):
            passes = pattern.startswith("!")
    return passes


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    files = context_files()
    tops = {name.split("/")[0] for name in files}
    assert tops == {
        *("LICENSE", "README.md", "pyproject.toml", "requirements", "deploy", "models", "service")
    }
    assert {name for name in files if name.startswith("deploy/")} == {
        "deploy/image/healthcheck.py",
        "deploy/image/slim.py",
    }
    assert not [name for name in files if "__pycache__" in name or "/." in name]


def test_every_copied_path_is_in_the_context() -> None:
    files = context_files()
    for words in instructions():
        if words[0] != "COPY" or any(word.startswith("--from") for word in words):
            continue
        for source in [word for word in words[1:-1] if not word.startswith("--")]:
            there = source in files or any(name.startswith(f"{source}/") for name in files)
            assert there, source


def test_the_last_stage_is_the_cpu_image() -> None:
    assert stages()[""] == [["FROM", "cpu"]]


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_service_is_process_one_and_hears_sigterm(target: str) -> None:
    words = lineage(target)
    assert ["ENTRYPOINT", '["segserve"]'] in words
    assert ["STOPSIGNAL", "SIGTERM"] in words
    assert any(line[0] == "HEALTHCHECK" for line in words)


@pytest.mark.parametrize("target", ["cpu", "gpu", "train"])
def test_no_image_runs_as_root(target: str) -> None:
    (last,) = [line for line in lineage(target) if line[0] == "USER"]
    assert last == ["USER", "10001:10001"]


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_of_models_the_service_image_takes_the_contract_and_the_zoo(target: str) -> None:
    copied = [
        word
        for stage in (target, "project")
        for line in stages()[stage]
        if line[0] == "COPY" and not any(word.startswith("--from") for word in line)
        for word in line[1:-1]
        if word.startswith("models")
    ]
    assert sorted(copied) == ["models/__init__.py", "models/contract", "models/zoo"]


@pytest.mark.parametrize(("stage", "file"), [("cpu", "serve"), ("gpu", "gpu"), ("train", "train")])
def test_packages_are_installed_by_their_hashes(stage: str, file: str) -> None:
    installs = [line for line in stages()[f"packages-{stage}"] if "pip" in line]
    (install,) = installs
    assert "--require-hashes" in install
    assert install[-1] == f"{file}.txt"
    assert (ROOT / "requirements" / f"{file}.txt").is_file()


def test_the_label_has_the_projects_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in DOCKERFILE


def test_the_images_variables_are_settings() -> None:
    known = {variable(field) for field in Settings.model_fields}
    named = set(re.findall(r"SEGSERVE_[A-Z_]+", DOCKERFILE))
    assert named
    assert named <= known


def test_the_healthcheck_tells_ready_from_not(solvable_store: Path, tmp_path: Path) -> None:
    with serving(solvable_store) as server:
        assert healthcheck(server.port).returncode == 0
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty") as server:
        answer = healthcheck(server.port)
        assert answer.returncode == 1
        assert "no model" in answer.stdout


def test_the_healthcheck_says_that_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and not listening
        answer = healthcheck(unused.getsockname()[1])
    assert answer.returncode == 1
    assert "does not answer" in answer.stdout


def healthcheck(port: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SEGSERVE_PORT": str(port)}
    command = [sys.executable, "-I", str(HEALTHCHECK)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_slimming_removes_what_is_unused_and_leaves_what_runs(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    kept = ["numpy/__init__.py", "tests.py"]
    gone = [
        "numpy/__init__.pyi",
        "numpy/tests/test_it.py",
        "numpy/_core/include/numpy/array.h",
        "tensorflow/include/tensor.h",
        "nvidia/cublas/include/cublas.h",
    ]
    for name in (*kept, *gone):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    # In an interpreter of its own that sees no packages: it removes those it finds.
    command = [sys.executable, "-I", "-S", str(SLIM), str(packages)]
    subprocess.run(command, check=True, capture_output=True)
    left = {
        path.relative_to(packages).as_posix()
        for path in packages.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert left == set(kept)
