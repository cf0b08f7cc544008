"""Whether segtrain reads in a folder what segserve drew on the pictures of another.

    python read_back.py EXPORT PICTURES SHARE

Run by the project's own Python. SHARE, from 0 to 1, is how many of all pixels have to be equal.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from models.contract import read_contract
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset

ROOT = Path(__file__).parents[2]
ABSENT = 254


def main(export: Path, pictures: Path, share: float) -> None:
    names = [one.name for one in read_contract(ROOT / "models/zoo/street/1").classes]
    dataset = read_dataset(export, SplitOptions(fraction=0), LayoutOptions())
    own = [one.name for one in dataset.class_list.classes]
    ids = np.array([names.index(name) if name in names else ABSENT for name in own], np.uint8)
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "service.cli", "predict", "-m", "street"]
        subprocess.run(
            [*command, str(pictures), "-o", work], check=True, cwd=ROOT, capture_output=True
        )
        expected = {path.stem: np.array(Image.open(path)) for path in Path(work).rglob("*.png")}
    samples = [sample for samples in dataset.splits.values() for sample in samples]
    equal = total = 0
    for sample in samples:
        mask = expected.pop(sample.image.stem)
        back = ids[sample.mask.read()]
        assert back.shape == mask.shape, (sample.image, back.shape, mask.shape)
        equal += int((back == mask).sum())
        total += mask.size
    assert not expected, f"{sorted(expected)} did not come back"
    assert equal >= share * total, f"{equal / total:.4%} of the pixels are equal"
    print(f"  {dataset.layout}: {len(samples)} class maps, {equal / total:.4%} of pixels equal")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
