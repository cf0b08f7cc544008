"""The OpenAPI document and the page that shows it."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.cli.openapi import openapi_text
from service.outputs import ANSWERS
from service.protocols.problems import ROWS, Problem
from tests.service.serving import ServerThread, serving

COMMITTED = Path(__file__).parents[4] / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(openapi_text())
    return parsed


def test_the_committed_document_is_the_current_one() -> None:
    assert COMMITTED.read_text() == openapi_text(), "run `segserve openapi > openapi.json`"


def test_a_server_shows_the_same_document_whatever_its_settings(server: ServerThread) -> None:
    assert server.client.get("/openapi.json").json() == orjson.loads(COMMITTED.read_bytes())


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/segment",
        "/segment/batch",
        "/jobs",
        "/jobs/{id}",
        "/jobs/{id}/overview",
        "/jobs/{id}/result",
        "/feedback",
        "/models",
        "/models/{name}",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]


def test_every_refusal_of_every_route_has_an_example(document: dict[str, Any]) -> None:
    slugs = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status.startswith("2"):
                    continue
                examples = answer["content"]["application/problem+json"]["examples"]
                assert examples
                for slug, example in examples.items():
                    assert Problem.model_validate(example["value"]).status == int(status)
                    slugs.add(slug)
    not_of_a_route = {
        "job-failed",  # in a job
        "client-left",
        "invalid-tensor",
        "image-not-fetched",
        "malformed-http",
        "headers-timeout",
        "headers-too-large",
        "route-not-found",
        "method-not-allowed",
    }
    assert slugs >= {row.slug for row in ROWS.values()} - not_of_a_route


def test_an_example_of_a_limit_is_beyond_it(document: dict[str, Any]) -> None:
    """They say what a server with these limits says, so the first size is above the second."""
    for path, limit in (("/segment", 64 * 2**20), ("/segment/batch", 256 * 2**20)):
        assert _sizes(document, path, "413", "body-too-large") == [limit + 1, limit]
    asked, limit = _sizes(document, "/segment", "413", "answer-too-large")[-2:]
    assert asked > limit == 512
    (*_, pixels, limit) = _sizes(document, "/segment", "413", "image-too-large")
    assert pixels > limit == 100_000_000


def _sizes(document: dict[str, Any], path: str, status: str, slug: str) -> list[int]:
    answer = document["paths"][path]["post"]["responses"][status]
    detail = answer["content"]["application/problem+json"]["examples"][slug]["value"]["detail"]
    return [int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]*\b", detail)]


def test_every_json_format_has_an_example_of_its_own_making(document: dict[str, Any]) -> None:
    content = document["paths"]["/segment"]["post"]["responses"]["200"]["content"]
    assert set(content) == {
        media_type for known in ANSWERS.values() for media_type in known.media_types
    }
    examples = {name for answer in content.values() for name in answer.get("examples", {})}
    assert examples == {
        known.name for known in ANSWERS.values() if known.media_types[0].endswith("json")
    }
    rle = content["application/json"]["examples"]["rle"]["value"]
    assert sum(rle["rle"]["lengths"]) == rle["width"] * rle["height"]


def test_every_option_of_every_format_is_a_parameter(document: dict[str, Any]) -> None:
    for path in ("/segment", "/segment/batch"):
        names = [parameter["name"] for parameter in document["paths"][path]["post"]["parameters"]]
        assert len(names) == len(set(names))
        assert set(names) >= {
            name for known in ANSWERS.values() for name in known.options.model_fields
        }


def test_no_option_is_sent_by_a_client_that_was_not_asked_to(document: dict[str, Any]) -> None:
    """Swagger UI and generated clients send defaults and examples, also those of another format."""
    for path in ("/segment", "/segment/batch"):
        for parameter in document["paths"][path]["post"]["parameters"]:
            assert not parameter["required"]
            assert not {"default", "example", "examples"} & (
                set(parameter) | set(parameter["schema"])
            )


def test_a_key_is_an_option_in_it(document: dict[str, Any]) -> None:
    assert document["paths"]["/segment"]["post"]["security"][-1] == {}
    assert "security" not in document["paths"]["/health/live"]["get"]


def test_the_page_and_its_assets_come_from_this_server(server: ServerThread) -> None:
    page = server.client.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors" in page.headers["Content-Security-Policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) >= 3
    for address in addresses:
        if not address.startswith("data:"):
            assert not address.startswith(("http:", "https:", "//", "/"))
            assert server.client.get(f"/{address}").status_code == 200


def test_the_page_has_no_script_of_its_own(server: ServerThread) -> None:
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", server.client.get("/docs").text, re.DOTALL)
    assert scripts
    assert not any(script.strip() for script in scripts)


def test_the_home_page_leads_somewhere(server: ServerThread) -> None:
    assert server.client.get("/", follow_redirects=True).status_code == 200


def test_every_answer_tells_browsers_not_to_guess(server: ServerThread) -> None:
    for path in ("/models", "/docs", "/nowhere", "/docs/assets/swagger-ui.css"):
        assert server.client.get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_behind_a_proxy_that_strips_a_prefix_every_address_has_it(store: Path) -> None:
    with serving(
        store, lazy_loading=True, root_path="/vision", max_batch_upload_bytes=10
    ) as server:
        assert server.client.get("/docs").status_code == 200
        assert server.client.get("/openapi.json").json()["servers"] == [{"url": "/vision"}]
        assert server.client.get("/docs/assets/swagger-ui.css").status_code == 200
        refused = server.client.post("/segment/batch", files={"image": b"more than ten bytes"})
        assert refused.status_code == 413
