"""What the service answers in COCO is read back by segtrain with the ids that it had."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import DatasetError
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import scan_dataset
from service.domain.segmentation import Segmentation
from service.domain.source import SourceInfo
from service.outputs import OUTPUTS
from tests.service.outputs.maps import make_model

WHOLE = SplitOptions(fraction=0)


def answered(folder: Path, background: int | None, classes: str | None) -> NDArray[np.uint8]:
    """A folder with a picture and the answer of a model of five classes; gives the class map."""
    model = make_model(5, background=background)
    class_map = np.random.default_rng(0).integers(0, 5, (9, 13), np.uint8)
    coco = OUTPUTS["coco"]
    segmentation = Segmentation(model, class_map, source=SourceInfo(file_name="photo.png"))
    answer = coco.write(segmentation, coco.options(classes=classes))
    (folder / "answer.json").write_bytes(answer.body)
    Image.fromarray(np.zeros((9, 13, 3), np.uint8)).save(folder / "photo.png")
    return class_map


@pytest.mark.parametrize("background", [None, 0, 3])
def test_a_coco_answer_beside_its_picture_is_the_class_map(
    tmp_path: Path, background: int | None
) -> None:
    class_map = answered(tmp_path, background, None)
    dataset = scan_dataset(tmp_path, WHOLE, LayoutOptions())
    assert [(one.id, one.name) for one in dataset.class_list.classes] == [
        (number, f"class {number}") for number in range(5)
    ]
    ((sample,),) = dataset.splits.values()
    np.testing.assert_array_equal(sample.mask.read(), class_map)


def test_pixels_that_classes_left_out_are_not_taken_for_the_first_class(tmp_path: Path) -> None:
    answered(tmp_path, None, "class 1,class 4")
    ((sample,),) = scan_dataset(tmp_path, WHOLE, LayoutOptions()).splits.values()
    with pytest.raises(DatasetError, match="no region covers"):
        sample.mask.read()
