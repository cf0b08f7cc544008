"""What the lines of palettes and lists of names say, in the columns that tools write."""

from pathlib import Path

import pytest

from models.data.dataset import DatasetError
from models.data.layouts.class_lines import ClassLine, class_lines

NAMES = ["ground", "car", "old tree"]
PLAIN = [ClassLine(name, None) for name in NAMES]
COLORED = [
    ClassLine("ground", (0, 0, 0)),
    ClassLine("car", (255, 0, 0)),
    ClassLine("old tree", (0, 255, 9)),
]


def read(text: str) -> list[ClassLine]:
    return class_lines(Path("classes.txt"), text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "ground\n\n# a remark\ncar\nold tree\n",
        "0 ground\n2 old tree\n1 car\n",
        "1: car\n0: ground\n2: old tree\n",
        "0. ground\n1) car\n2. old tree\n",
        "0,ground\n1,car\n2,old tree\n",
        "id,name\n2,old tree\n0,ground\n1,car\n",
        "old tree,2\nground,0\ncar,1\n",
        "ground 0\ncar 1\nold tree 2\n",
        "name\nground\ncar\nold tree\n",
        "- ground\n- car\n- old tree\n",
        '"ground"\n"car"\n"old tree"\n',
        "ground:::\ncar:::\nold tree:::\n",
    ],
)
def test_names_are_in_the_order_of_their_ids(text: str) -> None:
    assert read(text) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "ground,0,0,0\ncar,255,0,0\nold tree,0,255,9\n",
        "0 0 0 ground\n255 0 0 car\n0 255 9 old tree\n",
        "name,r,g,b\nground,0,0,0\ncar,255,0,0\nold tree,0,255,9\n",
        "ground:0,0,0::\ncar:255,0,0::\nold tree:0,255,9:crown,stem:\n",
        "name,id,r,g,b\nground,0,0,0,0\nold tree,2,0,255,9\ncar,1,255,0,0\n",
        "id,name,r,g,b\n2,old tree,0,255,9\n0,ground,0,0,0\n1,car,255,0,0\n",
        "0 0 0 ground 0\n0 255 9 old tree 2\n255 0 0 car 1\n",
        "ground,0,0,0,255\ncar,255,0,0,255\nold tree,0,255,9,255\n",
        "name;r;g;b;a\nground;0;0;0;0\ncar;255;0;0;9\nold tree;0;255;9;9\n",
        "0 ground 0 0 0 0\n2 old tree 0 255 9 0\n1 car 255 0 0 0\n",  # FreeSurfer
        '0 0 0 0 0 0 0 "ground"\n1 255 0 0 1 1 1 "car"\n2 0 255 9 1 1 1 "old tree"\n',  # ITK-SNAP
        "#000000 ground\n#ff0000 car\n#00ff09 old tree\n",
        "ground: (0, 0, 0)\ncar: (255, 0, 0)\nold tree: (0, 255, 9)\n",
        "ground [0 0 0]\ncar [255 0 0]\nold tree [0 255 9]\n",
    ],
)
def test_colors_are_found_whatever_else_a_line_holds(text: str) -> None:
    assert read(text) == COLORED


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("zone 3\nzone 1\nzone 2\n", ["zone 3", "zone 1", "zone 2"]),
        ("2 wheeler,0,0,1\ncar,0,0,2\n", ["2 wheeler", "car"]),
        ("0 0 1 lane 1\n0 0 2 lane 2\n", ["lane 1", "lane 2"]),
        ("rust, old\ncrack (2)\n", ["rust, old", "crack (2)"]),
        ("4x4\ncar\n", ["4x4", "car"]),
    ],
)
def test_numbers_that_are_of_the_name_stay_in_it(text: str, names: list[str]) -> None:
    assert [line.name for line in read(text)] == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 ground\n2 car\n", "counts its classes from 1"),
        ("0 ground\n7 car\n", r"numbers its classes 0, 7; give each value from 0 on"),
        ("0 ground\n0 car\n", r"numbers its classes 0, 0"),
        ("0 1 ground\n1 2 car\n", "has two numbers before the name"),
        ("ground,0,0,0\ncar\n", "'car' has no colour"),
        ("ground,0.0,0.0,0.0\ncar,1.0,0.0,0.0\n", "is not a colour"),
        ("ground,0,0,256\ncar,1,0,0\n", "is not a colour"),
        ("0 0 0 0 ground\n1 255 0 0 car\n", "has 4 numbers a line, and which of them"),
        ("ground,5,0,0,3\ncar,9,255,0,4\n", "has 4 numbers a line, and which of them"),
        ("name,b,g,r\nground,0,0,0\ncar,255,0,0\n", "gives its colours as b, g, r"),
        ("0 0 0 ground\ncar 255 0 0\n", "before some names and behind others"),
    ],
)
def test_what_can_be_meant_in_two_ways_is_refused(text: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        read(text)
