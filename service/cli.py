"""`segserve`: serve, predict, models, keys, openapi."""

import argparse
import asyncio
import ipaddress
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.datastructures import QueryParams

from models.contract import ContractError
from service.api.errors import RequestError
from service.api.keys import KeyFileError, format_line, make_key, parse_keys
from service.api.logging import configure_logging
from service.api.options import format_named, parse_options, single_values
from service.app import (
    create_app,
    image_workers,
    openapi_document,
    pipeline_limits,
    registry_options,
)
from service.cluster.errors import ClusterError
from service.cluster.options import (
    BulkLayout,
    add_flags,
    layout_of,
    serve_parser,
    take_serve_flags,
)
from service.pipeline.formats import FORMATS, FormatOptions
from service.predict import Job, PredictError, Summary, predict
from service.server import ListenError, Server, ServerConfig, listen
from service.settings import (
    SettingError,
    Settings,
    read_settings,
    unknown_variables,
    variable,
)
from service.store import Artefact, read_verified, scan

SOMETHING_FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130

USAGE = """usage: segserve COMMAND …

  serve     answer POST /segment and the rest of the HTTP API
  predict   segment image files and folders, without HTTP
  models    list the models of a store
  keys      make, list and revoke API keys
  openapi   write the OpenAPI document

`segserve COMMAND --help` tells more."""

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit code is 0 if all went well, 1 if something failed, 2 if the command is wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        return _usage(arguments)
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except COMMAND_FAULTS as error:
        print(f"segserve {arguments[0]}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _usage(arguments: Sequence[str]) -> int:
    asked = bool(arguments) and arguments[0] in ("-h", "--help")
    if arguments and not asked:
        print(f"segserve: there is no command {arguments[0]!r}.\n", file=sys.stderr)
    print(USAGE, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else USAGE_ERROR


def serve(arguments: Sequence[str]) -> int:
    address, layout, rest = take_serve_flags(arguments)
    if "-h" in rest or "--help" in rest:
        print(serve_parser().format_help())
    settings = read_settings(rest)
    configure_logging(settings.log_format, settings.log_level)
    for sentence in unknown_variables(os.environ):
        log.warning("%s", sentence)
    if settings.api_keys_file is None and not _is_loopback(settings.host):
        log.warning(
            "every caller that reaches %s is served, for %s is not set; `segserve keys add` makes a key",
            settings.host,
            variable("api_keys_file"),
        )
    if layout is not None:
        from service.cluster.serving import serve_on_cluster

        serve_on_cluster(settings, layout, address, lambda line: print(line, flush=True))
        return 0
    app = create_app(settings)
    with listen(settings.host, settings.port) as bound:
        url = _url(settings.host, bound.getsockname()[1])
        registry = app.state.parts.registry

        def tell() -> None:
            names = ", ".join(
                state.id for state in registry.states() if state.state in ("ready", "unloaded")
            )
            greeting = f"segserve is ready at {url} with {names}; {url}/docs shows how to use it."
            print(" ".join(registry.not_ready_reasons()) or greeting, flush=True)

        config = ServerConfig(
            app,
            root_path=settings.root_path,
            keep_alive_seconds=settings.keep_alive_seconds,
            header_timeout_seconds=settings.header_timeout_seconds,
            shutdown_delay_seconds=settings.shutdown_delay_seconds,
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
        )
        Server(config, app.state.parts, tell).run(sockets=[bound])
    if registry.longest_batch_seconds() > 0:
        log.error("an engine does not end its batch; the process ends without it")
        logging.shutdown()
        os._exit(SOMETHING_FAILED)  # Python would wait for the engine's thread
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(host: str, port: int) -> str:
    """An address that a browser on this machine can open."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def predict_files(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "segserve predict",
        description="Segment image files, and all images in folders.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image file or folder of images; with --ray one folder, s3://… and gs://… too",
    )
    parser.add_argument("-o", "--out", required=True, help="folder that the answers are written to")
    parser.add_argument("-m", "--model", help="model by name, or a version of it such as street/1")
    parser.add_argument(
        "-f", "--format", default="png", help=f"one of {', '.join(FORMATS)} (default: png)"
    )
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the format, such as alpha=0.3; may be given several times",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="write again what is there already"
    )
    _add_store(parser)
    add_flags(parser, BulkLayout)
    given = parser.parse_args(arguments)
    settings = _settings_for(given.model_store, given.model)
    chosen = format_named(given.format)
    options = parse_options(chosen, _parameters(given.parameter))
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    layout = layout_of(given, BulkLayout)
    if layout is not None:
        return _predict_on_cluster(given, settings, options, layout)
    job = Job(
        tuple(map(Path, given.images)),
        Path(given.out),
        given.model,
        chosen,
        options,
        given.overwrite,
    )
    work = predict(
        job,
        settings.model_store,
        registry_options(settings),
        pipeline_limits(settings),
        image_workers(settings),
    )
    return _report(asyncio.run(work))


def _predict_on_cluster(
    given: argparse.Namespace, settings: Settings, options: FormatOptions, layout: BulkLayout
) -> int:
    from service.cluster.bulk import BulkJob, predict_on_cluster

    if len(given.images) > 1:
        raise ClusterError(f"--ray takes one folder, and there are {len(given.images)}.")
    job = BulkJob(given.images[0], given.out, given.model, given.format, options, given.overwrite)
    summary = predict_on_cluster(job, settings, layout, given.ray or None)
    counts = f"{summary.written} written, {summary.skipped} skipped because they were there, {summary.failed} failed"
    print(f"{counts}: see {summary.failures}" if summary.failed else counts)
    return SOMETHING_FAILED if summary.failed else 0


def _parameters(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise PredictError(
                f"parameter {text!r} is not of the form NAME=VALUE, such as alpha=0.3."
            )
    pairs = [text.split("=", 1) for text in texts]
    return single_values(QueryParams([(name, value) for name, value in pairs]))


def _report(summary: Summary) -> int:
    for source, fault in summary.failures:
        print(f"{source}: {fault}", file=sys.stderr)
    counts = f"{summary.written} written, {summary.skipped} skipped because they were there, {len(summary.failures)} failed"
    print(counts)
    return SOMETHING_FAILED if summary.failures else 0


def list_models(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "segserve models",
        description="List the models of a store, and whether their files are whole.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_store(parser)
    given = parser.parse_args(arguments)
    store = _settings_for(given.model_store, None).model_store
    try:
        found = scan(store)
    except OSError as error:
        raise SettingError(f"the store {store} cannot be read: {error.strerror}.") from None
    rows = [_row(artefact) for versions in found.values() for artefact in versions.values()]
    if given.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows, store)
    return SOMETHING_FAILED if any(row["fault"] for row in rows) else 0


def _row(artefact: Artefact) -> dict[str, Any]:
    row: dict[str, Any] = {"model": artefact.id, "size_bytes": artefact.size_bytes, "fault": None}
    try:
        contract, _ = read_verified(artefact)
    except ContractError as error:
        return row | {"fault": str(error)}
    facts: dict[str, Any] = {
        "architecture": contract.architecture,
        "parameters": contract.parameters,
        "classes": [segmentation_class.name for segmentation_class in contract.classes],
        "scores": contract.training.scores if contract.training is not None else {},
    }
    return row | facts


def _print_table(rows: Sequence[Mapping[str, Any]], store: Path) -> None:
    if not rows:
        print(f"{store} holds no model.")
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.1f} MB"
        if row["fault"]:
            print(f"{row['model']:24} {size:>10}  cannot be served: {row['fault']}")
        else:
            facts = f"{row['architecture']}, {row['parameters']:,} parameters, {len(row['classes'])} classes"
            print(f"{row['model']:24} {size:>10}  {facts}")


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-store",
        type=Path,
        help=f"folder of models (default: {variable('model_store')}, or else the bundled models)",
    )


def _settings_for(store: Path | None, model: str | None) -> Settings:
    """The environment's settings with those of the command on top, for one model and without watching."""
    flags = ["--no-watch-models", "--no-lazy-loading"]
    if store is not None:
        flags += ["--model-store", str(store)]
    if model is not None:
        flags += ["--models", model]
    settings = read_settings(flags)
    if not settings.model_store.is_dir():
        raise SettingError(
            f"there is no folder {settings.model_store}; name one with --model-store."
        )
    return settings


def manage_keys(arguments: Sequence[str]) -> int:
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


def write_openapi(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "segserve openapi",
        description="Write the OpenAPI document to standard output.",
        allow_abbrev=False,
    )
    parser.parse_args(arguments)
    print(openapi_text(), end="")
    return 0


def openapi_text() -> str:
    """The document as it is committed."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"


COMMAND_FAULTS = (
    ClusterError,
    KeyFileError,
    ListenError,
    PredictError,
    RequestError,
    SettingError,
)
KEY_ACTIONS: Mapping[str, Callable[[Path, str], int]] = {"add": _add_key, "revoke": _revoke_key}
COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "serve": serve,
    "predict": predict_files,
    "models": list_models,
    "keys": manage_keys,
    "openapi": write_openapi,
}

if __name__ == "__main__":
    sys.exit(main())
