"""A project for Supervisely, imported by its SDK and exported by it."""

import sys
from pathlib import Path

import supervisely as sly

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.clients.projects import predicted, require_same


def main():
    imported = sly.Project(str(predicted(FOLDER, "supervisely")), sly.OpenMode.READ)
    exported = sly.Project(str(FOLDER / "supervisely-export"), sly.OpenMode.CREATE)
    exported.set_meta(imported.meta)
    drawn = 0
    for dataset in imported.datasets:
        target = exported.create_dataset(dataset.name)
        for name in dataset:
            annotation = dataset.get_ann(name, imported.meta)
            drawn += len(annotation.labels)
            # each region is decoded, and encoded anew by the SDK
            labels = [
                one.clone(geometry=sly.Bitmap(one.geometry.data, one.geometry.origin))
                for one in annotation.labels
            ]
            target.add_item_file(name, dataset.get_img_path(name), annotation.clone(labels=labels))
    assert drawn > 20, drawn
    require_same(FOLDER / "supervisely-export", FOLDER)
    print(f"supervisely: {drawn} bitmaps through the SDK come back as they were")


main()
