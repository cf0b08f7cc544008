"""LitServe: a LitAPI of its five steps. WORKERS processes with THREADS cores each, batches of up to
BATCH within WAIT_MS."""

from typing import Any

import litserve
import numpy as np
from fastapi import Response
from segmentation import Segmentation, decode, number


class SegmentationAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe names it
        self.model = Segmentation()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads a type as a form
        return decode(request["image"].file.read())

    def predict(self, image: Any) -> Any:
        return self.model.class_maps(image[None])[0]

    def encode_response(self, output: Any) -> Response:
        return Response(self.model.encode(output), media_type="image/png")


class BatchedSegmentationAPI(SegmentationAPI):
    def predict(self, images: list[Any]) -> list[Any]:
        return batch_by_shape(self.model, images)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output


def batch_by_shape(model: Segmentation, images: list[Any]) -> list[Any]:
    """LitServe batches what comes together; only images of one size can be one array."""
    class_maps: list[Any] = [None] * len(images)
    for shape in {image.shape for image in images}:
        same = [index for index, image in enumerate(images) if image.shape == shape]
        for index, class_map in zip(
            same, model.class_maps(np.stack([images[index] for index in same])), strict=True
        ):
            class_maps[index] = class_map
    return class_maps


if __name__ == "__main__":
    api = SegmentationAPI()
    if number("BATCH", 1) > 1:
        api = BatchedSegmentationAPI(
            max_batch_size=number("BATCH"), batch_timeout=number("WAIT_MS") / 1000
        )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=number("WORKERS", 1),
        fast_queue=bool(number("FAST_QUEUE")),
        timeout=False,
    )
    server.run(
        host="127.0.0.1",
        port=number("PORT"),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
