"""A server that speaks gRPC, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import MAX_BATCH_REQUEST_IMAGES, MAX_IMAGE_PIXELS, MAX_UPLOAD_BYTES
from tests.service.protocols.oip.rpc.asking import Client
from tests.service.serving import ServerThread, serving


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving(
        store,
        default_model="solvable",
        grpc_port=0,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_batch_upload_bytes=MAX_UPLOAD_BYTES,
        max_image_pixels=MAX_IMAGE_PIXELS,
        max_batch_request_images=MAX_BATCH_REQUEST_IMAGES,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerThread) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.channel.close()
