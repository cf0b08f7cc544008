"""GeoJSON for QuPath, whose program (Java) is not here: read as its import reads it, by geojson and
shapely, checked against what its documentation asks of an annotation, and written again."""

import json
import shutil
import sys
from pathlib import Path

import geojson
import shapely

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.clients.projects import pictures, predicted, require_same


def main():
    project, photos = predicted(FOLDER, "qupath"), pictures(FOLDER)
    export = FOLDER / "qupath-export"
    shutil.copytree(photos, export)
    count = 0
    for path in project.rglob("*.geojson"):
        collection = geojson.loads(path.read_text())
        assert isinstance(collection, geojson.FeatureCollection)
        features = []
        for feature in collection.features:
            assert feature.properties["objectType"] == "annotation"
            classification = feature.properties["classification"]
            assert classification["name"]
            assert all(0 <= value < 256 for value in classification["color"])
            assert len(classification["color"]) == 3
            region = shapely.from_geojson(json.dumps(feature.geometry))
            assert region.is_valid, shapely.is_valid_reason(region)
            assert region.area > 0
            features.append(
                geojson.Feature(
                    geometry=json.loads(shapely.to_geojson(region)), properties=feature.properties
                )
            )
        count += len(features)
        target = export / path.relative_to(project)
        target.write_text(geojson.dumps(geojson.FeatureCollection(features)))
    require_same(export, FOLDER)
    print(f"qupath: {count} valid polygons with holes come back as they were")


main()
