"""The model card that travels with an artefact (Mitchell et al. 2019, "Model Cards for Model Reporting")."""

import math

from models.contract import SegmentationClass, Training


def model_card(
    name: str,
    summary: str,
    classes: tuple[SegmentationClass, ...],
    training: Training,
    class_iou: dict[str, dict[str, float | None]],
    recipe_text: str,
    command: str,
) -> str:
    """Write the card as Markdown. `class_iou` maps split to class name to IoU, None where a class does not occur."""
    splits = ", ".join(f"{size} {split}" for split, size in training.split_sizes.items())
    return f"""# {name}

{summary}

## Data

{training.dataset} ({splits} images). Licence as stated by its source: {training.licence}.
Source: {training.source}.

Trained on the train split alone; the epoch was chosen on val; test was looked at once, for this card.

## Scores

{_score_table(training.scores)}

IoU a class:

{_class_table(classes, class_iou)}

Void pixels are left out. The means leave out classes that occur neither in the masks nor in the class maps.

## Training

{training.epochs} epochs in {training.minutes:.0f} minutes on a CPU with two shared cores, seed {training.seed}, finished {training.finished}.

    {command}

The recipe:

```toml
{recipe_text.strip()}
```

## Limits

The model knows the classes above and gives every pixel one of them, whatever the picture shows. Expect the scores only on
pictures like those it was trained on; look at the IoU of a class before relying on it. Not for decisions about safety.
"""


def _score_table(scores: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(scores.values()), {}))
    head = "| split | " + " | ".join(name.replace("_", " ") for name in names) + " |"
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
