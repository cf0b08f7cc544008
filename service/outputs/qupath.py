"""`qupath`: GeoJSON that QuPath imports as annotations, a region each with its classification; of a
folder a file a picture, named as it, for QuPath's import is of one image."""

from collections.abc import Iterator
from typing import Any

from service.domain.classes import describe
from service.domain.segmentation import Segmentation
from service.outputs.output import Output
from service.outputs.polygons import PolygonsOptions, encode_features
from service.outputs.project import Project, drawn_classes


class QuPathOptions(PolygonsOptions):
    pass


def encode(segmentation: Segmentation, options: QuPathOptions) -> Iterator[bytes]:
    contract = segmentation.model.contract

    def properties(class_id: int, _area: int, confidence: float | None) -> dict[str, Any]:
        """As QuPath 0.3 and later read them."""
        described = describe(contract, class_id)
        color = list(bytes.fromhex(str(described["color"])[1:]))
        return {
            "objectType": "annotation",
            "classification": {"name": described["name"], "color": color},
            **({} if confidence is None else {"measurements": {"confidence": confidence}}),
        }

    drawn = frozenset(one.id for one in drawn_classes(contract))
    return encode_features(segmentation, options, drawn, properties)


QUPATH = Output(
    name="qupath",
    title="QuPath",
    extensions={"application/geo+json": ".geojson"},
    options=QuPathOptions,
    description=(
        "GeoJSON that QuPath imports: an annotation with its classification and holes for each "
        "connected region."
    ),
    encode=encode,
    project=Project({}),
)
