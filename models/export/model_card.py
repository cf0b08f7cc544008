"""The model card that travels with an artefact (Mitchell et al. 2019, "Model Cards for Model
Reporting")."""

import math
import re
from collections.abc import Sequence

from models.contract import Quantization, SegmentationClass, Training


def model_card(
    name: str,
    summary: str,
    classes: tuple[SegmentationClass, ...],
    training: Training,
    class_iou: dict[str, dict[str, float | None]],
    recipe_text: str,
    start: str,
    how: str,
    seen: Sequence[str] = (),
) -> str:
    """Write the card as Markdown. `class_iou` maps split to class name to IoU, None where a class
    does not occur; `start` says in a sentence what weights the training began with, `how` what it
    did with them; `seen` has sentences on the pictures that it is to see."""
    splits = ", ".join(f"{size} {split}" for split, size in training.split_sizes.items())
    return f"""# {name}

{summary}

## Data

{training.dataset} ({splits} images). Licence as stated by its source: {training.licence}.
Source: {training.source}.

Trained on the train split alone; val chose the epoch that was kept; test, where it is listed, \
only reports.

## Scores

{_score_table(training.scores)}

IoU a class:

{_class_table(classes, class_iou)}

Each image was shown to the model once, as it is. Void pixels are left out. The means leave out \
classes that occur neither in the masks nor in the class maps.
{_seen(seen)}
## Training

{training.epochs} epochs in {training.minutes:.0f} minutes, seed {training.seed}, finished \
{training.finished}. {start}
{how}

To train it again, save the recipe below as {name}.toml, name your own folders in it, and say

    segtrain train {name}.toml

```toml
{recipe_text.strip()}
```

## Limits

The model knows the classes above and gives every pixel one of them, whatever the picture shows. \
Expect the scores only on
pictures like those it was trained on; look at the IoU of a class before relying on it. Not for \
decisions about safety.
"""


def _seen(lines: Sequence[str]) -> str:
    items = "".join(f"- {line[:1].upper()}{line[1:]}.\n" for line in lines)
    return f"\n## What it sees\n\n{items}" if lines else ""


def with_int8_section(card: str, quantization: Quantization) -> str:
    """The card with what int8 files score, in front of the section on training or at the end.
    Replaces an older one."""
    rest = re.sub(r"^## int8\n.*?(?=^## |\Z)", "", card, flags=re.DOTALL | re.MULTILINE)
    head, heading, tail = rest.partition("## Training\n")
    return f"{head.rstrip()}\n\n{_int8_section(quantization)}\n{heading}{tail}"


def _int8_section(quantization: Quantization) -> str:
    both = {
        f"{split}, {name}": scores[split]
        for split in quantization.scores
        for name, scores in (
            ("fp32", quantization.float_scores),
            ("int8", quantization.scores),
        )
    }
    kept = ", ".join(quantization.kept_float)
    return f"""## int8

The OpenVINO files of int8 were calibrated with {
        quantization.calibration_images
    } images of the train split. {
        f"Kept in floating point: {kept}." if kept else "No layer was kept in floating point."
    }

{_score_table(both)}
"""


def _score_table(scores: dict[str, dict[str, float]]) -> str:
    if not scores:
        return "Not scored: `segtrain evaluate` before the export fills this in."
    names = list(next(iter(scores.values())))
    head = (
        "| split | "
        + " | ".join(name.replace("_", " ").replace("iou", "IoU") for name in names)
        + " |"
    )
    rule = "|---" * (len(names) + 1) + "|"
    rows = [
        f"| {split} | " + " | ".join(f"{values[name]:.4f}" for name in names) + " |"
        for split, values in scores.items()
    ]
    return "\n".join([head, rule, *rows])


def _class_table(
    classes: tuple[SegmentationClass, ...], class_iou: dict[str, dict[str, float | None]]
) -> str:
    head = "| id | class | colour | " + " | ".join(class_iou) + " |"
    rule = "|---" * (len(class_iou) + 3) + "|"
    rows = [
        f"| {c.id} | {c.name} | {c.color} | "
        + " | ".join(_cell(ious[c.name]) for ious in class_iou.values())
        + " |"
        for c in classes
    ]
    return "\n".join([head, rule, *rows])


def _cell(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
