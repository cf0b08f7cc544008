"""openapi.json is good enough to generate a client from, and the client works."""

import importlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser.errors import ErrorLevel

from tests.service.serving import ServerThread, picture, png_bytes
from tests.solvable import solve

OPENAPI = Path(__file__).parents[4] / "openapi.json"
PACKAGE = "segserve_client"


Generated = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    """Gives the generated package's modules by name."""
    folder = tmp_path_factory.mktemp("client")
    config = Config.from_sources(
        ConfigFile(post_hooks=[], package_name_override=PACKAGE),
        MetaType.NONE,
        document_source=OPENAPI,
        file_encoding="utf-8",
        overwrite=True,
        output_path=folder / PACKAGE,
    )
    # It warns of media types that it makes nothing of, such as the batch's ZIP, and leaves those
    # out.
    faults = generate(config=config)
    assert [fault.detail for fault in faults if fault.level is ErrorLevel.ERROR] == []
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def test_a_generated_client_segments_an_image(generated: Generated, server: ServerThread) -> None:
    photo = picture(12, 18, seed=5)
    types, segment = generated("types"), generated("api.segment.segment")
    body = generated("models.segment_files_body").SegmentFilesBody(
        image=types.File(io.BytesIO(png_bytes(photo)), "photo.png", "image/png")
    )
    rle = generated("models.segment_format").SegmentFormat.RLE
    with generated("client").Client(base_url=server.url) as client:
        answer: dict[str, Any] = segment.sync(client=client, body=body, format_=rle).to_dict()
    assert (answer["height"], answer["width"]) == photo.shape[:2]
    runs = answer["rle"]
    class_map = np.repeat(runs["values"], runs["lengths"]).reshape(photo.shape[:2])
    np.testing.assert_array_equal(class_map, solve(photo))


def test_a_generated_client_reads_what_went_wrong(
    generated: Generated, server: ServerThread
) -> None:
    types, segment = generated("types"), generated("api.segment.segment")
    body = generated("models.segment_files_body").SegmentFilesBody(
        image=types.File(io.BytesIO(b"no image"), "photo.png", "image/png")
    )
    with generated("client").Client(base_url=server.url) as client:
        problem = segment.sync(client=client, body=body)
    assert isinstance(problem, generated("models.problem").Problem)
    assert problem.status == 415
    assert "Send JPEG" in problem.detail


def test_a_generated_client_lists_the_models(generated: Generated, server: ServerThread) -> None:
    with generated("client").Client(base_url=server.url) as client:
        listed = generated("api.models.list_models").sync(client=client)
    assert {model.name for model in listed.models} == {"solvable", "gray", "flaky"}
    assert listed.default_model == "solvable"
