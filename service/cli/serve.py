"""`segserve serve`: answer POST /segment and the rest of the HTTP API."""

import argparse
import gc
import logging
import os

from service.app import create_app
from service.cli.command import SOMETHING_FAILED, end
from service.cluster.options import ServeLayout, add_ray_flags, layout_of
from service.protocols.hosts import is_loopback
from service.protocols.telemetry.logging import configure_logging
from service.server.build import build_server
from service.server.sockets import listen
from service.setting_flags import add_setting_flags, settings_of, unknown_variables
from service.settings import SettingError, variable

HELP = "answer POST /segment and the rest of the HTTP API"
DESCRIPTION = (
    "Serve the models of a store over HTTP. Each flag is also an environment variable; the flag "
    "wins."
)

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "segserve serve [FLAG …]"
    add_setting_flags(parser)
    add_ray_flags(parser.add_argument_group("on a Ray cluster (the extra ray)"), ServeLayout)


def run(given: argparse.Namespace) -> int:
    settings, layout = settings_of(given), layout_of(given, ServeLayout)
    configure_logging(settings.log_format, settings.log_level)
    for sentence in unknown_variables(os.environ):
        log.warning("%s", sentence)
    if settings.api_keys_file is None and not is_loopback(settings.host):
        log.warning(
            "every caller that reaches %s is served, for %s is not set; "
            "`segserve keys add` makes a key",
            settings.host,
            variable("api_keys_file"),
        )
    if layout is not None:
        if settings.job_folder is not None:
            raise SettingError(
                f"{variable('job_folder')} (flag --job-folder) is set, and there are no jobs under "
                "--ray; leave it out, or serve without --ray"
            )
        if settings.grpc_port is not None:
            raise SettingError(
                f"{variable('grpc_port')} (flag --grpc-port) is set, and gRPC is not served under "
                "--ray; leave it out, or serve without --ray"
            )
        from service.cluster.serving import serve_on_cluster

        serve_on_cluster(settings, layout, given.ray or None, lambda line: print(line, flush=True))
        return 0
    app = create_app(settings)
    gc.freeze()  # modules and routes stay for good: later collections need not look at them
    with listen(settings.host, settings.port) as bound:
        url = _url(settings.host, bound.getsockname()[1])
        registry = app.state.parts.registry

        def tell() -> None:
            names = ", ".join(state.id for state in registry.states() if state.serves)
            greeting = f"segserve is ready at {url} with {names}; {url}/docs shows how to use it."
            print(" ".join(registry.not_ready_reasons()) or greeting, flush=True)

        build_server(app, settings, bound, tell).run()
    is_stuck = registry.stuck_seconds() > 0
    if is_stuck:
        log.error("an engine does not end its batch; the process ends without it")
    return end(SOMETHING_FAILED if is_stuck else 0)


def _url(host: str, port: int) -> str:
    """An address that a browser on this machine can open."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
