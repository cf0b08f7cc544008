"""The Grafana dashboard asks for metrics that the server has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.service.serving import ServerThread, serving

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "deploy" / "grafana" / "segserve.json").read_text()
)
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def metrics(solvable_store: Path) -> Iterator[str]:
    """What a server shows that has answered one image and refused another."""
    with serving(solvable_store, default_model="solvable") as server:
        ServerThread.segment(server, np.zeros((4, 4, 3), np.uint8))
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
