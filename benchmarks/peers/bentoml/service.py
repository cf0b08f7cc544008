"""BentoML: a service with one endpoint. WORKERS processes; in each POOL threads and THREADS cores an inference; batches of up to BATCH."""

from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import ContentType
from PIL import Image as Images
from PIL.Image import Image
from segmentation import Segmentation, number

BATCH = number("BATCH", 1)
Png = Annotated[bytes, ContentType("image/png")]


@bentoml.service(
    workers=number("WORKERS", 1),
    threads=number("POOL", 1),
    traffic={"timeout": 3600},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Street:
    def __init__(self) -> None:
        self.model = Segmentation()

    if BATCH == 1:

        @bentoml.api
        def segment(self, image: Image) -> Png:
            return self.model.encode(self.model.class_maps(pixels(image)[None])[0])

    else:

        @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=3_600_000)
        def segment(self, image: list[Image]) -> list[Png]:
            return [self.model.encode(self.model.class_maps(pixels(one)[None])[0]) for one in image]


def pixels(image: Images.Image) -> Any:
    return np.asarray(image.convert("RGB"))
