"""BentoML: a service with one endpoint. WORKERS processes; in each POOL threads and THREADS cores
an inference.

Not batched: a `batchable` endpoint answers with a JSON list, so a PNG would need a second service
in front of it.
"""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType
from PIL.Image import Image
from segmentation import Segmentation, number


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

    @bentoml.api
    def segment(self, image: Image) -> Annotated[bytes, ContentType("image/png")]:
        pixels = np.asarray(image.convert("RGB"))
        return self.model.encode(self.model.class_maps(pixels[None])[0])
