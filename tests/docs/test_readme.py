"""The README and docs/ against the code: settings, routes, links, and every command run."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import keras
import numpy as np
import pytest
from PIL import Image

from models.cli import main as segtrain
from service.cluster.options import ServeLayout, flag_of
from service.settings import Settings, flag, variable
from tests.models.conftest import write_dataset
from tests.service.serving import TIMEOUT_SECONDS, ServerProcess, ServerThread, serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))


def shell_lines(text: str) -> list[str]:
    """Every command in the text's sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def settings_table() -> str:
    rows = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "the bundled models" if name == "model_store" else str(default)
        if isinstance(default, tuple) and default:
            shown = ",".join(default)
        if default in (None, "", ()):
            shown = "–"
        rows.append(f"| `{variable(name)}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_that_of_the_code() -> None:
    assert settings_table() in README, f"README.md needs this table:\n\n{settings_table()}"


def test_every_setting_named_in_the_docs_exists() -> None:
    known = {variable(name) for name in Settings.model_fields}
    known |= {"SEGSERVE_MODEL", "SEGSERVE_CLASSES"}  # the tags of a map's GeoTIFF
    for page in [ROOT / "README.md", *PAGES]:
        named = set(re.findall(r"SEGSERVE_[A-Z_]+[A-Z]", page.read_text()))
        assert named <= known, f"{page.name}: {named - known}"


def test_every_route_is_in_the_readme() -> None:
    document = json.loads((ROOT / "openapi.json").read_text())
    for path, methods in document["paths"].items():
        for method in methods:
            stem = re.sub(r"/\{version\}$", "", path)
            assert f"{method.upper()} {stem}" in README, f"{method.upper()} {path}"


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *PAGES]:
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name} → {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    texts = README + "".join(page.read_text() for page in PAGES)
    for page in PAGES:
        assert f"{page.name})" in texts, page.name


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(shell_lines(README)), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the README has it: photo.jpg, photo2.jpg, photos/."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    picture = Image.fromarray(pixels.repeat(20, axis=0).repeat(20, axis=1))
    for name in ("photo.jpg", "photo2.jpg", "photos/one.jpg"):
        picture.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    """The bundled models, as `make serve` serves them."""
    bundled = Path(Settings().model_store)
    with serving(bundled) as running:
        yield running


CURLS = [
    line
    for page in (README, *(page.read_text() for page in PAGES))
    for line in shell_lines(page)
    if "curl " in line
]


def test_the_readme_shows_curl() -> None:
    assert len([line for line in CURLS if line in README]) >= 8


@pytest.mark.parametrize("line", CURLS)
def test_each_curl_line_works(server: ServerThread, photographs: Path, line: str) -> None:
    """In a shell, as its reader runs it; curl says what failed there."""
    here = line.replace("localhost:8000", f"127.0.0.1:{server.port}")
    checked = re.sub(r"\bcurl ", "curl --silent --show-error --fail-with-body ", here)
    answer = subprocess.run(
        ["bash", "-o", "pipefail", "-c", checked],
        cwd=photographs,
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[:500] + answer.stderr
    words = shlex.split(line, comments=True)
    if "-o" in words:
        assert (photographs / words[words.index("-o") + 1]).stat().st_size > 0
    else:
        json.loads(answer.stdout)


def run_training_command(line: str, cwd: Path, *more: str) -> str:
    """Run a `segtrain` line of the docs in this process, which has TensorFlow already; the script
    of docs/loop.md runs the command in processes of its own."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "segtrain"
    arguments = [a.replace("models/recipes", f"{ROOT}/models/recipes") for a in arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = segtrain([*arguments, *more])
    assert code == 0, f"{line}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue()


def run_command(line: str, cwd: Path) -> str:
    """Run a `segserve` line of the docs, from the checkout's code."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "segserve"
    answer = subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"
    return answer.stdout


def test_predicting_a_folder_as_the_readme_does(photographs: Path) -> None:
    (line,) = [line for line in shell_lines(README) if line.startswith("segserve predict")]
    run_command(line, photographs)
    assert (photographs / "masks" / "one.png").is_file()


def test_files_and_folders_are_segmented_as_the_docs_do(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs / "photos", tmp_path / "photos")
    lines = shell_lines((ROOT / "docs" / "files.md").read_text())
    assert len(lines) == 4
    for line in lines:
        assert run_command(line, tmp_path).startswith("1 written, 0 skipped")
    for answer in ("masks/one.png", "overlays/one.png", "labels/labelstudio.json"):
        assert (tmp_path / answer).is_file()


class Walk:
    """A page's lines of training in their order, with a network and epochs that suit a test; a line
    is run once."""

    MORE: ClassVar = {
        "train": [
            *("--epochs", "1", "--augmentation.crop", "[32, 32]"),
            *("--network.name", "fcn32s", "--network.encoder", "vgg16", "--network.width", "1"),
        ],
        "quantize": ["--max-drop", "100"],  # after one epoch scores mean nothing
    }

    def __init__(self, page: Path, folder: Path) -> None:
        self._folder = folder
        self._lines = training_lines(page)
        self._shown: list[str] = []
        write_dataset(folder / "my_folder", {"train": 4, "val": 2, "test": 1})
        image = keras.Input((32, 32, 3))
        theirs = keras.Sequential([image, keras.layers.Conv2D(3, 3, padding="same")])
        theirs.save(folder / "their_unet.keras")

    def shown_by(self, number: int) -> str:
        """What a line printed, after those before it."""
        for line in self._lines[len(self._shown) : number + 1]:
            more = self.MORE.get(line.split()[1], [])
            self._shown.append(run_training_command(line, self._folder, *more))
        return self._shown[number]

    def models(self) -> str:
        """What is in the store after the last line."""
        self.shown_by(len(self._lines) - 1)
        return run_command("segserve models --model-store my_models", self._folder)


def training_lines(page: Path) -> list[str]:
    return [line for line in shell_lines(page.read_text()) if line.startswith("segtrain ")]


TRAINING_PAGES = (ROOT / "README.md", ROOT / "docs" / "train.md")


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Walk]:
    return {page.name: Walk(page, tmp_path_factory.mktemp(page.stem)) for page in TRAINING_PAGES}


@pytest.mark.parametrize(
    ("page", "number"),
    [
        pytest.param(page, number, id=f"{page.name}-{number}-{line.split()[1]}")
        for page in TRAINING_PAGES
        for number, line in enumerate(training_lines(page))
    ],
)
def test_each_line_of_training_works_in_the_order_of_the_page(
    page: Path, number: int, walks: dict[str, Walk]
) -> None:
    shown = walks[page.name].shown_by(number)
    assert "mean iou" in shown or training_lines(page)[number].split()[1] != "evaluate"


@pytest.mark.parametrize("page", TRAINING_PAGES, ids=lambda page: page.name)
def test_from_a_folder_to_a_listed_model_as_the_docs_do(page: Path, walks: dict[str, Walk]) -> None:
    commands = {line.split()[1] for line in training_lines(page)}
    assert {"check", "train", "evaluate", "export"} <= commands
    assert "mine/1" in walks[page.name].models()


def test_keys_are_made_used_and_revoked_as_the_docs_do(
    tmp_path: Path, solvable_store: Path
) -> None:
    lines = shell_lines((ROOT / "docs" / "operate.md").read_text())
    add, serve = lines
    key = run_command(add, tmp_path).strip()
    flags = shlex.split(serve)[2:]
    flags = [str(tmp_path / word) if word == "keys.txt" else word for word in flags]
    process = ServerProcess(
        [*flags, "--model-store", str(solvable_store), "--shutdown-delay-seconds", "0"],
        tmp_path / "log",
    )
    url = process.wait_until_ready()
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        assert client.get("/models").status_code == 401
        assert client.get("/models", headers={"X-API-Key": key}).status_code == 200
    process.close()
    run_command("segserve keys revoke alice --file keys.txt", tmp_path)
    assert "alice" not in run_command("segserve keys list --file keys.txt", tmp_path)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_flag_in_the_docs_exists(page: Path) -> None:
    for line in shell_lines(page.read_text()):
        if line.startswith("segserve serve"):
            known = {flag(name) for name in Settings.model_fields}
            known |= {"--ray", *map(flag_of, ServeLayout.model_fields)}
            used = {word for word in shlex.split(line, comments=True) if word.startswith("--")}
            assert used <= known, line
