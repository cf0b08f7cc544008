"""A data set for Ultralytics' semantic segmentation, read by the reader that its training has."""

import sys
from pathlib import Path

from PIL import Image
from ultralytics.data.dataset import SemanticDataset
from ultralytics.data.utils import check_det_dataset

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.clients.projects import predicted, require_same


def main():
    project = predicted(FOLDER, "ultralytics")
    data = check_det_dataset(str(project / "data.yaml"), autodownload=False)
    dataset = SemanticDataset(img_path=data["train"], data=data, augment=False, imgsz=320)
    assert len(dataset) == 4, len(dataset)
    export = FOLDER / "ultralytics-export"
    for index, image in enumerate(dataset.im_files):
        pixels = {"images": Image.open(image), "masks": Image.fromarray(dataset.load_mask(index))}
        for part, picture in pixels.items():
            target = export / part / Path(image).relative_to(project / "images")
            target.parent.mkdir(parents=True, exist_ok=True)
            picture.save(target)
    (export / "data.yaml").write_text((project / "data.yaml").read_text())
    require_same(export, FOLDER)
    print("ultralytics: the masks that its reader gives are the class maps")


main()
