"""Whatever the OpenAPI document allows, and much that it does not: never a 5xx."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.service.serving import ServerThread, picture, png_bytes

DOCUMENT = orjson.loads((Path(__file__).parents[4] / "openapi.json").read_bytes())
ALLOWED = [(path, method.upper()) for path, ways in DOCUMENT["paths"].items() for method in ways]
NOT_ALLOWED = [(path, method) for path, method in ALLOWED if method == "POST"]  # GETs take nothing
CASES = [(*operation, schemathesis.GenerationMode.POSITIVE) for operation in ALLOWED] + [
    (*operation, schemathesis.GenerationMode.NEGATIVE) for operation in NOT_ALLOWED
]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
IMAGE = png_bytes(picture(20, 30))


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_no_request_brings_it_down(
    server: ServerThread, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]

    @settings(
        max_examples=60 if method == "POST" else 20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), with_image=st.booleans())
    def send(case: schemathesis.Case[Any], with_image: bool) -> None:
        if with_image and isinstance(case.body, bytes):
            case.body = IMAGE  # random bytes would never get past the decoder
        case.call_and_validate(base_url=server.url, checks=CHECKS)

    send()
