"""What the command line knows of Ray without Ray."""

import argparse
import ast
import pkgutil
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import service
from models.contract.command_line import CommandParser
from models.contract.errors import UserError
from service.cli import main, serve
from service.cli.command import USAGE_ERROR
from service.cluster import options
from service.cluster.options import BulkLayout, ServeLayout, flag_of, layout_of
from service.setting_flags import settings_of


def test_no_module_of_one_machine_imports_ray() -> None:
    modules = [
        module.name
        for module in pkgutil.walk_packages(service.__path__, "service.")
        if not module.name.startswith("service.cluster.")
    ]
    assert "service.cli" in modules
    assert "service.app" in modules
    script = f"import sys, {', '.join(modules)}; print('ray' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"


def test_what_the_cluster_imports_is_in_the_requirements_of_its_nodes() -> None:
    """The environment of these tests has more than that."""
    root = Path(service.__file__).parents[1]
    pinned = set(
        re.findall(r"^([a-z0-9._-]+)", (root / "requirements/ray.txt").read_text(), re.MULTILINE)
    )
    distributions = packages_distributions()
    for path in sorted((root / "service" / "cluster").glob("*.py")):
        imports = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
            )
        ]
        packages = {name.partition(".")[0] for name in imports} - {"service", "models"}
        for package in packages - sys.stdlib_module_names:
            found = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions[package]}
            assert found & pinned, (
                f"{path.name} imports {package}, which requirements/ray.txt has not"
            )


@pytest.mark.parametrize(
    "command", [["serve", "--ray"], ["predict", "photos", "-o", "masks", "--ray", "10.0.0.7:6379"]]
)
def test_without_the_extra_the_flag_says_what_to_install(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options, "find_spec", lambda _: None)
    assert main(command) == USAGE_ERROR
    assert "segserve[cpu,ray]" in capsys.readouterr().err


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "find_spec", lambda _: object())


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser("segserve serve", "")
    serve.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.usefixtures("installed")
def test_flags_of_ray_are_told_from_settings() -> None:
    given = parse(
        ["--port", "9", "--ray", "--ray-max-engine-replicas", "8", "--ray-engine-gpus=0.5"]
    )
    assert settings_of(given).port == 9
    assert given.ray == ""
    assert layout_of(given, ServeLayout) == ServeLayout(max_engine_replicas=8, engine_gpus=0.5)
    assert parse(["--ray", "10.0.0.7:6379"]).ray == "10.0.0.7:6379"
    assert layout_of(parse(["--port", "9"]), ServeLayout) is None


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray-http-cpus", "2"], "--ray-http-cpus goes with --ray alone"),
        (["--ray", "--ray-min-http-replicas", "0"], "--ray-min-http-replicas is '0'"),
        (["--ray", "--ray-engine-cpus"], "expected one argument"),
    ],
)
def test_a_wrong_flag_is_named(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        layout_of(parse(arguments), ServeLayout)


@pytest.mark.parametrize(
    ("command", "layout"), [("serve", ServeLayout), ("predict", BulkLayout)], ids=lambda x: str(x)
)
def test_help_tells_every_flag(
    command: str, layout: type[ServeLayout | BulkLayout], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    for name in layout.model_fields:
        assert flag_of(name) in shown
