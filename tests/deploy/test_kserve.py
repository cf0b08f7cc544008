"""The manifests for KServe: of one mind with the service. (Their schemas come with KServe and with
no package.)"""

from typing import Any

import kubernetes_validate

from service.protocols.native import health
from service.protocols.oip import routes as oip
from service.setting_flags import read_settings
from service.settings import Settings, variable
from tests.deploy.kustomize import KUBERNETES, render

RUNTIME, SERVICE = render(KUBERNETES / "kserve")


def container() -> Any:
    (found,) = RUNTIME["spec"]["containers"]
    return found


def test_the_pod_that_the_runtime_describes_satisfies_kubernetes() -> None:
    pod = {"containers": RUNTIME["spec"]["containers"], "volumes": RUNTIME["spec"]["volumes"]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "segserve"}, "spec": pod}
    kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_service_asks_for_a_format_and_a_protocol_of_the_runtime() -> None:
    model = SERVICE["spec"]["predictor"]["model"]
    assert model["runtime"] == RUNTIME["metadata"]["name"]
    assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
    formats = [(one["name"], one["version"]) for one in RUNTIME["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats


def test_every_variable_is_a_setting_and_the_store_is_where_kserve_puts_it() -> None:
    environment = {entry["name"]: entry["value"] for entry in container()["env"]}
    assert set(environment) <= {variable(field) for field in Settings.model_fields}
    assert environment["SEGSERVE_MODEL_STORE"] == "/mnt/models"
    grace = float(environment["SEGSERVE_SHUTDOWN_GRACE_SECONDS"])
    assert grace > float(environment["SEGSERVE_REQUEST_TIMEOUT_SECONDS"])
    assert SERVICE["spec"]["predictor"]["terminationGracePeriodSeconds"] > grace


def test_the_probes_are_routes_at_the_port_of_the_service() -> None:
    paths = {getattr(route, "path", "") for route in (*oip.health.routes, *health.router.routes)}
    (port,) = container()["ports"]
    assert port["containerPort"] == read_settings([]).port
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container()[name]["httpGet"]
        assert get["port"] == port["containerPort"]
        assert get["path"] in paths
