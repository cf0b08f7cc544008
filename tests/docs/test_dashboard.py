"""The Grafana dashboard asks for metrics that the server has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from models.contract import FrameScale, Reference, Spread, read_contract, write_contract
from tests.service.serving import ServerThread, serving
from tests.solvable import save_solvable_model

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "segserve.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a server shows that has answered images and refused another, of a model that knows what
    it was made on."""
    store = tmp_path_factory.mktemp("store")
    artefact = save_solvable_model(store)
    spread = Spread(mean=0.5, p05=0, p50=0.5, p95=1)
    reference = Reference(
        split="val",
        images=1,
        class_shares=(1, 0, 0),
        confidence=spread,
        brightness=spread,
        long_side=spread,
    )
    facts = {"reference": reference, "scale": FrameScale(long_side=16)}
    write_contract(artefact, read_contract(artefact).model_copy(update=facts))
    with serving(store, default_model="solvable") as server:
        for _ in range(20):
            ServerThread.segment(server, np.zeros((32, 32, 3), np.uint8))
        server.client.post("/segment", content=b"no image", headers={"Content-Type": "image/png"})
        yield server.client.get("/metrics").text


def test_the_dashboard_has_panels() -> None:
    assert len(QUERIES) >= 15


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_asks_for_series_and_labels_that_exist(metrics: str, query: str) -> None:
    shown = re.findall(r"^(\w+)(\{[^}]*\})? ", metrics, re.MULTILINE)
    for name, matchers in re.findall(r"((?:segserve|process)_\w+)\{([^}]*)\}", query):
        if name == "segserve_dropped_images_total":
            continue  # no series until something is dropped; its name is checked below
        samples = [labels for sample, labels in shown if sample == name]
        assert samples, f"{name} is not at /metrics"
        for label in re.findall(r"(\w+)=~?", matchers):
            assert label == "job" or any(f"{label}=" in labels for labels in samples), label


def test_dropped_images_go_by_the_name_that_the_dashboard_asks_for(metrics: str) -> None:
    assert "# TYPE segserve_dropped_images_total counter" in metrics


def test_each_alert_rule_asks_for_series_that_exist(metrics: str) -> None:
    rules = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yml").read_text())
    shown = set(re.findall(r"^(segserve_\w+)", metrics, re.MULTILINE))
    asked = [re.findall(r"segserve_\w+", r["expr"]) for g in rules["groups"] for r in g["rules"]]
    assert len(asked) == 2
    assert all(set(names) <= shown for names in asked)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
