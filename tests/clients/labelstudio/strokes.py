"""Whether segtrain reads in an export what a person painted in the browser.

    python strokes.py EXPORT STROKES

Run by the project's own Python. STROKES is JSON: for each stroke the picture's name, the label, and
where it began and ended, in shares of width and height.
"""

import json
import sys
from pathlib import Path

import numpy as np

from models.data.options import SplitOptions
from models.data.reading import read_dataset


def main(export: Path, strokes: list[dict]) -> None:
    dataset = read_dataset(export, SplitOptions(fraction=0))
    names = [one.name for one in dataset.class_list.classes]
    samples = {s.image.name: s for held in dataset.splits.values() for s in held}
    for stroke in strokes:
        mask = samples[stroke["image"]].mask.read()
        ends = np.array([stroke["start"], stroke["end"]]) * mask.shape[::-1]
        along = ends[0] + np.linspace(0.05, 0.95, 50)[:, None] * (ends[1] - ends[0])
        columns, rows = along.astype(int).T
        held = mask[rows, columns]
        assert (held == names.index(stroke["label"])).all(), (stroke, held)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
