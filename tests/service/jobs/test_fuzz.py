"""Whatever the OpenAPI document allows of jobs, and much that it does not: never a 5xx."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.service.jobs.test_jobs import serving
from tests.service.serving import ServerThread

DOCUMENT = orjson.loads((Path(__file__).parents[3] / "openapi.json").read_bytes())
OPERATIONS = [
    (path, method.upper())
    for path, ways in DOCUMENT["paths"].items()
    if path.startswith("/jobs")
    for method in ways
]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [(*operation, POSITIVE) for operation in OPERATIONS] + [
    (path, method, NEGATIVE) for path, method in OPERATIONS if path == "/jobs"
]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module")
def server(
    openvino_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    """One whose jobs all fail at once, with three that may be open."""
    folder = tmp_path_factory.mktemp("jobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.job_parts.WORKER", "tests.service.jobs.refusing_worker")
        with serving(
            openvino_store, job_folder=folder, max_job_bytes=10_000, max_key_jobs=3
        ) as running:
            yield running


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_no_request_for_jobs_brings_it_down(
    server: ServerThread, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    made = server.client.post("/jobs", content=b"x", headers={"Content-Type": "image/png"})
    there = made.json().get("id")  # of a full queue there is none

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        if there and "id" in case.path_parameters and method != "DELETE":
            case.path_parameters["id"] = there
        case.call_and_validate(base_url=server.url, checks=CHECKS)

    send()
