"""docker-compose.yml and what it mounts, as far as that needs no engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.app import STOP_SECONDS
from service.setting_flags import read_settings
from service.settings import Settings, variable

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MONITORING = ROOT / "deploy" / "monitoring"


def document(path: str) -> Any:
    return yaml.safe_load((MONITORING / path).read_text())


def test_compose_1_29_reads_the_top_level() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}


def test_plain_up_starts_the_service_alone() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["segserve"]


def test_the_profiles_are_those_of_the_docs() -> None:
    profiles = {p for service in SERVICES.values() for p in service.get("profiles", ())}
    assert profiles == {"gpu", "monitoring", "train"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", ["segserve", "gpu"])
def test_the_service_has_limits_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert {"cpu_quota", "mem_limit", "healthcheck"} <= service.keys()
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["segserve", "gpu", "train"])
def test_each_build_target_is_a_stage(name: str) -> None:
    target = SERVICES[name]["build"]["target"]
    assert f" AS {target}\n" in DOCKERFILE
    assert SERVICES[name]["image"].endswith(f":{target}")


def test_the_healthcheck_is_that_of_the_image() -> None:
    command = SERVICES["segserve"]["healthcheck"]["test"]
    assert str(command[1:]).replace("'", '"') in DOCKERFILE


def test_an_accepted_request_is_finished_before_the_container_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = SERVICES["segserve"]
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    settings = read_settings([])
    assert settings.shutdown_grace_seconds > (
        settings.shutdown_delay_seconds + settings.request_timeout_seconds
    )
    stop_seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert stop_seconds > settings.shutdown_grace_seconds + STOP_SECONDS


@pytest.mark.parametrize("name", ["segserve", "gpu"])
def test_every_variable_is_a_setting(name: str) -> None:
    known = {variable(field) for field in Settings.model_fields}
    assert set(SERVICES[name]["environment"]) <= known


def test_only_the_gpu_service_asks_for_a_device() -> None:
    asking = [name for name, service in SERVICES.items() if "deploy" in service]
    assert asking == ["gpu"]
    (device,) = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_every_volume_is_declared_and_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for mount in service["volumes"]:
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", mount).split(":")[0]
            if source.startswith("./deploy"):
                assert (ROOT / source).exists(), source
            elif not source.startswith("."):
                assert source in COMPOSE["volumes"], source


def test_every_variable_of_the_file_is_in_the_docs() -> None:
    docs = (ROOT / "docs" / "containers.md").read_text()
    for name in set(re.findall(r"\$\{(\w+):-", TEXT)):
        assert f"`{name}`" in docs, name


def test_prometheus_finds_the_service_by_a_name_that_both_have() -> None:
    (job,) = document("prometheus.yml")["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    (name,) = discovery["names"]
    assert name in SERVICES
    assert SERVICES["gpu"]["networks"]["default"]["aliases"] == [name]
    assert discovery["port"] == Settings.model_fields["port"].default


def test_grafana_reads_from_prometheus_by_default() -> None:
    (source,) = document("grafana/datasources/prometheus.yml")["datasources"]
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True
    assert source["url"] == "http://prometheus:9090"


def test_grafana_finds_the_dashboard() -> None:
    (provider,) = document("grafana/dashboards/segserve.yml")["providers"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana:{folder}:ro" in SERVICES["grafana"]["volumes"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{folder}/")
    assert (ROOT / "deploy" / "grafana" / Path(home).name).is_file()
