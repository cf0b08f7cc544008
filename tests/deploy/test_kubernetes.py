"""The Kubernetes manifests: valid by schema, and of one mind with the service."""

import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.app import STOP_SECONDS
from service.setting_flags import read_settings
from service.settings import Settings, variable
from tests.deploy.kustomize import KUBERNETES, Manifest, containers_of, render

OVERLAYS = ("base", "overlays/monitoring", "overlays/gpu")
OLDEST, NEWEST = "1.29", "1.37"
SELECTED = {"app.kubernetes.io/name": "segserve"}


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(KUBERNETES / request.param)


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod_of(manifests: list[Manifest]) -> Any:
    return of_kind(manifests, "Deployment")["spec"]["template"]["spec"]


def service_of(manifests: list[Manifest]) -> Manifest:
    (container,) = pod_of(manifests)["containers"]
    assert isinstance(container, dict)
    return container


def environment_of(manifests: list[Manifest]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in service_of(manifests)["env"]}


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_every_manifest_satisfies_its_schema(manifests: list[Manifest], release: str) -> None:
    for manifest in manifests:
        if manifest["kind"] != "ServiceMonitor":  # the operator's own kind; checked below
            kubernetes_validate.validate(manifest, release, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    deployment = of_kind(render(KUBERNETES / "base"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_our_rendering_is_that_of_kustomize(overlay: str) -> None:
    output = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / overlay], capture_output=True, check=True
    ).stdout
    theirs = {document["kind"]: document for document in yaml.safe_load_all(output)}
    ours = {manifest["kind"]: manifest for manifest in render(KUBERNETES / overlay)}
    assert _sorted(ours) == _sorted(theirs)


def _sorted(value: Any) -> Any:
    """Lists of named things without their order, in which kustomize may differ."""
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(item) for item in value), key=partial(json.dumps, sort_keys=True))
    return value


def test_every_file_is_part_of_an_overlay() -> None:
    used = {"prometheus-adapter.yaml"}  # values of another chart
    for file in KUBERNETES.rglob("kustomization.yaml"):
        document = yaml.safe_load(file.read_text())
        used |= {Path(name).name for name in document.get("resources", ())}
        used |= {patch["path"] for patch in document.get("patches", ())}
    files = {file.name for file in KUBERNETES.rglob("*.yaml")} - {"kustomization.yaml"}
    assert files == {name for name in used if name.endswith(".yaml")}


def test_what_selects_pods_selects_these_and_no_others(manifests: list[Manifest]) -> None:
    pod_labels = of_kind(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert pod_labels.items() >= SELECTED.items()
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert of_kind(manifests, kind)["spec"]["selector"]["matchLabels"] == SELECTED
    assert of_kind(manifests, "Service")["spec"]["selector"] == SELECTED
    assert of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == SELECTED


def test_the_autoscaler_finds_its_deployment_and_owns_the_replicas(
    manifests: list[Manifest],
) -> None:
    deployment = of_kind(manifests, "Deployment")
    target = of_kind(manifests, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) == (
        deployment["apiVersion"],
        deployment["kind"],
        deployment["metadata"]["name"],
    )
    assert "replicas" not in deployment["spec"]


def test_the_autoscalers_metric_is_the_one_that_the_adapter_makes() -> None:
    scaler = of_kind(render(KUBERNETES / "base"), "HorizontalPodAutoscaler")
    (metric,) = scaler["spec"]["metrics"]
    values = (KUBERNETES / "components/monitoring/prometheus-adapter.yaml").read_text()
    (rule,) = yaml.safe_load(values)["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    series = set(re.findall(r"segserve_\w+?(?=\{)", rule["metricsQuery"]))
    stage = "segserve_stage_duration_seconds"
    assert series == {f"{stage}_sum", f"{stage}_count"}


def test_prometheus_is_sent_to_the_services_port() -> None:
    manifests = render(KUBERNETES / "overlays/monitoring")
    monitor, service = (of_kind(manifests, kind) for kind in ("ServiceMonitor", "Service"))
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    selected = monitor["spec"]["selector"]["matchLabels"]
    assert service["metadata"]["labels"].items() >= selected.items()
    assert monitor["spec"]["jobLabel"] in service["metadata"]["labels"]


def test_an_accepted_request_is_finished_before_the_pod_is_killed(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(manifests).items():
        monkeypatch.setenv(name, value)
    settings = read_settings([])
    assert settings.shutdown_grace_seconds > (
        settings.shutdown_delay_seconds + settings.request_timeout_seconds
    )
    command = service_of(manifests)["lifecycle"]["preStop"]["exec"]["command"]
    (pre_stop,) = re.findall(r"sleep\((\d+)\)", " ".join(command))
    needed = int(pre_stop) + settings.shutdown_grace_seconds + STOP_SECONDS
    assert pod_of(manifests)["terminationGracePeriodSeconds"] > needed


def test_every_variable_is_a_setting(manifests: list[Manifest]) -> None:
    known = {variable(field) for field in Settings.model_fields}
    assert set(environment_of(manifests)) <= known


def test_the_probes_ask_routes_that_exist_on_the_named_port(manifests: list[Manifest]) -> None:
    container = service_of(manifests)
    routes = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert routes == {
        "startupProbe": "/health/live",  # a model that does not load is no reason to restart
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }
    (port,) = container["ports"]
    assert {container[probe]["httpGet"]["port"] for probe in routes} == {port["name"]}
    assert port["containerPort"] == Settings.model_fields["port"].default


def test_the_pods_meet_the_restricted_security_standard(manifests: list[Manifest]) -> None:
    context = pod_of(manifests)["securityContext"]
    assert context["runAsNonRoot"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers_of(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}


def test_service_links_are_off(manifests: list[Manifest]) -> None:
    assert pod_of(manifests)["enableServiceLinks"] is False


@pytest.mark.parametrize(
    ("overlay", "tag"), [("base", "cpu"), ("overlays/monitoring", "cpu"), ("overlays/gpu", "gpu")]
)
def test_every_container_of_an_overlay_has_its_image(overlay: str, tag: str) -> None:
    images = {container["image"] for container in containers_of(render(KUBERNETES / overlay))}
    assert images == {f"segserve:{tag}"}


def test_only_the_gpu_overlay_asks_for_a_gpu() -> None:
    limits = {o: service_of(render(KUBERNETES / o))["resources"]["limits"] for o in OVERLAYS}
    assert [o for o in OVERLAYS if "nvidia.com/gpu" in limits[o]] == ["overlays/gpu"]


class TestTheInitContainerThatFillsTheStore:
    """Its command, run here as it stands but for the two folders."""

    @staticmethod
    def run(image: Path, store: Path) -> None:
        pod = pod_of(render(KUBERNETES / "overlays/monitoring"))
        (container,) = pod["initContainers"]
        command = [
            {"/models": image, "/store": store}.get(word, word) for word in container["command"]
        ]
        subprocess.run(command, env={"PATH": "/usr/bin:/bin", "HOSTNAME": "pod-a"}, check=True)

    @staticmethod
    def write_model(store: Path, version: str, content: str) -> Path:
        folder = store / version
        (folder / "variables").mkdir(parents=True)
        (folder / "variables" / "weights").write_text(content)
        return folder

    def test_an_empty_volume_gets_the_bundled_models(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        self.write_model(tmp_path / "image", "street/1", "bundled")
        self.run(tmp_path / "image", tmp_path / "store")
        assert (tmp_path / "store/street/1/variables/weights").read_text() == "bundled"
        assert [path.name for path in (tmp_path / "store/street").iterdir()] == ["1"]

    def test_what_the_volume_holds_stays_and_new_versions_come(self, tmp_path: Path) -> None:
        self.write_model(tmp_path / "image", "street/1", "bundled")
        self.write_model(tmp_path / "image", "street/2", "bundled")
        self.write_model(tmp_path / "store", "street/1", "own")
        self.write_model(tmp_path / "store", "mine/7", "own")
        self.run(tmp_path / "image", tmp_path / "store")
        weights = {
            str(path.relative_to(tmp_path / "store").parent.parent): path.read_text()
            for path in (tmp_path / "store").rglob("weights")
        }
        assert weights == {"street/1": "own", "street/2": "bundled", "mine/7": "own"}
