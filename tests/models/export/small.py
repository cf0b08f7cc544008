"""A small U-Net of random weights, exported as `small/1`."""

from pathlib import Path
from typing import Any

import keras

from models.architectures.networks import build_network
from models.contract import SegmentationClass
from models.export.artefact import ModelFacts
from models.export.saved_model import export_network
from tests.models.conftest import CLASSES, IGNORE

FACTS = ModelFacts(
    name="small",
    classes=tuple(SegmentationClass.model_validate(c) for c in CLASSES),
    background=0,
    ignore=IGNORE,
    architecture="unet (width 4)",
    upsampling="bilinear",
    training=None,
)
CARD = "# small\n\n## Data\n\nRectangles.\n\n## Training\n\nNone.\n"


def export_small(store: Path, **options: Any) -> Path:
    """Write it into `store`, RGB to `CLASSES`, with the same weights each time; `options` are those
    of `export_network`."""
    keras.utils.set_random_seed(3)
    network = build_network(
        "unet", classes=len(CLASSES), channels=3, width=4, upsampling="bilinear"
    )
    return export_network(network, FACTS, CARD, store, **options)
