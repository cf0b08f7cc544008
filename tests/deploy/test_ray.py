"""The manifests and the config file for Ray: of the form that KubeRay, Ray and our own code
take."""

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.cli.commands import COMMANDS
from service.cluster.options import BulkLayout, ServeLayout, add_ray_flags
from service.setting_flags import read_settings
from tests.deploy.kustomize import KUBERNETES, Manifest, render

CONFIG = Path(__file__).parents[2] / "deploy" / "ray" / "segserve.yaml"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


# The fields of ray.io/v1 that are in use here, as KubeRay's API reference has them; a slip of the
# pen is an unknown field.
class HeadGroup(Strict):
    rayStartParams: dict[str, str]  # noqa: N815
    template: dict[str, Any]


class WorkerGroup(HeadGroup):
    groupName: str  # noqa: N815
    replicas: int = Field(ge=0)
    minReplicas: int = Field(ge=0)  # noqa: N815
    maxReplicas: int = Field(ge=1)  # noqa: N815


class AutoscalerOptions(Strict):
    idleTimeoutSeconds: int = Field(ge=0)  # noqa: N815


class ClusterSpec(Strict):
    rayVersion: str = Field(pattern=r"^\d+\.\d+\.\d+$")  # noqa: N815
    enableInTreeAutoscaling: bool  # noqa: N815
    autoscalerOptions: AutoscalerOptions  # noqa: N815
    headGroupSpec: HeadGroup  # noqa: N815
    workerGroupSpecs: list[WorkerGroup]  # noqa: N815


class ServiceSpec(Strict):
    serveConfigV2: str  # noqa: N815
    rayClusterConfig: ClusterSpec  # noqa: N815


class JobSpec(Strict):
    entrypoint: str
    shutdownAfterJobFinishes: bool  # noqa: N815
    ttlSecondsAfterFinished: int = Field(ge=0)  # noqa: N815
    backoffLimit: int = Field(ge=0)  # noqa: N815
    rayClusterSpec: ClusterSpec  # noqa: N815


class RayService(Strict):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayService"]
    metadata: dict[str, Any]
    spec: ServiceSpec


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayJob"]
    metadata: dict[str, Any]
    spec: JobSpec


def one(folder: str) -> Manifest:
    (manifest,) = render(KUBERNETES / "ray" / folder)
    return manifest


def pods(cluster: ClusterSpec) -> Iterator[dict[str, Any]]:
    for group in (cluster.headGroupSpec, *cluster.workerGroupSpecs):
        yield group.template["spec"]


SERVICE = RayService.model_validate(one("service"))
JOB = RayJob.model_validate(one("job"))
CLUSTERS = {"service": SERVICE.spec.rayClusterConfig, "job": JOB.spec.rayClusterSpec}


def test_an_unknown_field_is_found() -> None:
    manifest = one("job")
    manifest["spec"]["entryPoint"] = manifest["spec"].pop("entrypoint")
    with pytest.raises(ValidationError):
        RayJob.model_validate(manifest)


@pytest.mark.parametrize("release", ["1.29", "1.37"])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_each_pod_satisfies_its_schema(cluster: str, release: str) -> None:
    for spec in pods(CLUSTERS[cluster]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": spec}
        kubernetes_validate.validate(pod, release, strict=True)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_pods_are_restricted_and_their_settings_are_settings(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec in pods(CLUSTERS[cluster]):
        assert spec["securityContext"]["runAsNonRoot"]
        (container,) = spec["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = read_settings([])
        assert spec["terminationGracePeriodSeconds"] > settings.shutdown_grace_seconds
        callback = variables["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]
        module, _, function = callback.rpartition(".")
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("text", [SERVICE.spec.serveConfigV2, CONFIG.read_text()])
def test_a_config_is_one_that_ray_takes_and_builds_our_applications(text: str) -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed")
    config = schema.ServeDeploySchema.model_validate(yaml.safe_load(text))
    names = []
    for application in config.applications:
        module, _, builder = application.import_path.partition(":")
        built = getattr(import_module(module), builder)(
            ServeLayout.model_validate(application.args)
        )
        deployment = built._bound_deployment  # noqa: SLF001 - Ray has no other way to its name
        names.append((application.name, application.route_prefix, deployment.name))
    assert names == [("segserve-engines", None, "engines"), ("segserve", "/", "http")]


def test_the_job_is_a_command_of_ours() -> None:
    program, command, *arguments = JOB.spec.entrypoint.split()
    assert program == "segserve"
    assert command in COMMANDS
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("images", nargs="+")
    parser.add_argument("-o")
    add_ray_flags(parser, BulkLayout)
    given = parser.parse_args(arguments)
    assert given.ray == ""
    assert len(given.images) == 1
