"""CVAT's XML, which CVAT's server (not here) reads by its own code: its polygons by Datumaro, the
library of its formats, and exported by that as CVAT writes a Segmentation mask."""

import shutil
import sys
from pathlib import Path

from datumaro import Dataset

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.clients.projects import pictures, predicted, require_same


def main():
    project = predicted(FOLDER, "cvat", "shapes=polygon")
    shutil.copytree(pictures(FOLDER), project / "images", dirs_exist_ok=True)
    dataset = Dataset.import_from(str(project), "cvat")
    polygons = sum(len(item.annotations) for item in dataset)
    assert polygons > 20, polygons
    require_same(project, FOLDER)
    dataset.transform("polygons_to_masks")
    dataset.export(str(FOLDER / "datumaro-export"), "voc_segmentation", save_media=True)
    require_same(FOLDER / "datumaro-export", FOLDER, 0.95)
    print(f"datumaro: {polygons} polygons are imported and exported as masks")


main()
