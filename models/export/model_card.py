"""The model card that travels with an artefact (Mitchell et al. 2019, "Model Cards for Model
Reporting")."""

import math
import re
from collections.abc import Mapping, Sequence

from models.contract import (
    Calibration,
    Quantization,
    SegmentationClass,
    StoredPrecision,
    Training,
)
from models.training.robustness import robustness_rows


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
    chosen = "Trained on the train split alone; val chose the epoch that was kept"
    if "val" not in training.split_sizes:
        chosen = "Trained on all images but those of test, so the last epoch was kept"
    splits = ", ".join(f"{size} {split}" for split, size in training.split_sizes.items())
    return f"""# {name}

{summary}

## Data

{training.dataset} ({splits} images). Licence as stated by its source: {training.licence}.
Source: {training.source}.

{chosen}; test, where it is listed, only reports.

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
    """The card with what int8 files score."""
    return _with_section(card, "int8", _int8_section(quantization))


def with_confidence_section(
    card: str,
    classes: Sequence[SegmentationClass],
    calibration: Mapping[StoredPrecision, Calibration],
) -> str:
    """The card with what the probabilities are worth, by precision."""
    return _with_section(card, "Confidence", _confidence_section(classes, calibration))


def with_robustness_section(card: str, mean_ious: Mapping[str, Mapping[str, float]]) -> str:
    """The card with the mean IoU by split and condition (`models.training.robustness`)."""
    return _with_section(card, "Robustness", _robustness_section(mean_ious))


def _with_section(card: str, title: str, section: str) -> str:
    """The card with a section in front of that on training or at the end, in place of an older
    one."""
    older = rf"^## {title}\n.*?(?=^## |\Z)"
    rest = re.sub(older, "", card, flags=re.DOTALL | re.MULTILINE)
    head, heading, tail = rest.partition("## Training\n")
    return f"{head.rstrip()}\n\n{section.rstrip()}\n\n{heading}{tail}".rstrip() + "\n"


_CONFIDENCE_COLUMNS = {
    "ECE": "calibration_error",
    "class-wise ECE": "class_calibration_error",
    "Brier": "brier",
    "log loss": "log_loss",
}


def _confidence_section(
    classes: Sequence[SegmentationClass], calibration: Mapping[StoredPrecision, Calibration]
) -> str:
    said = []
    for precision, fitted in calibration.items():
        line = f"- {precision}: {fitted.temperature:.3f}"
        if fitted.class_temperatures is not None:
            named = zip(classes, fitted.class_temperatures, strict=True)
            by_class = ", ".join(f"{one.name} {value:.2f}" for one, value in named)
            line += (
                "; by the strongest class, which did better on both halves of the split: "
                + by_class
            )
        said.append(line)
    rows = [
        f"| {split}, {precision}, {which} | "
        + " | ".join(f"{scores[name]:.4f}" for name in _CONFIDENCE_COLUMNS.values())
        + " |"
        for precision, fitted in calibration.items()
        for split in fitted.scores
        for which, scores in (
            ("as trained", fitted.uncalibrated_scores[split]),
            ("served", fitted.scores[split]),
        )
    ]
    fitted_on = next(iter(calibration.values())).split
    head = "| split | " + " | ".join(_CONFIDENCE_COLUMNS) + " |"
    rule = "|---" * (len(_CONFIDENCE_COLUMNS) + 1) + "|"
    table = "\n".join([head, rule, *rows])
    temperatures = "\n".join(said)
    return f"""## Confidence

All probabilities that are served have their logits divided by a temperature fitted on \
{fitted_on}, which changes no class:

{temperatures}

{table}

{_why_not_halved(calibration)}ECE is the expected calibration error over 15 bins, counted on \
pixels spread evenly over the split; class-wise, the mean of that of each class's own probability; \
Brier, the squared distance of a pixel's probabilities to the truth, 0 to 2.
"""


def _why_not_halved(calibration: Mapping[StoredPrecision, Calibration]) -> str:
    sentences = []
    for precision, fitted in calibration.items():
        for split, scores in fitted.scores.items():
            before = fitted.uncalibrated_scores[split]["calibration_error"]
            after = scores["calibration_error"]
            if after <= before / 2:
                continue
            reason = (
                "what is left comes from pixels that are sure and wrong in other ways than by one "
                "number"
                if split == fitted.split
                else f"{split} asks for another temperature than {fitted.split}, on which it was "
                "fitted"
            )
            sentences.append(
                f"In {precision} the error on {split} is not halved ({before:.4f} to {after:.4f}): "
                f"{reason}.\n"
            )
    return "".join(sentences) + ("\n" if sentences else "")


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
    } images of the train split, half of them with one or two stops more light. {
        f"Kept in floating point: {kept}." if kept else "No layer was kept in floating point."
    }

{_score_table(both)}
"""


def _robustness_section(mean_ious: Mapping[str, Mapping[str, float]]) -> str:
    conditions = next(iter(mean_ious.values()))
    head = "| shown | " + " | ".join(f"mean IoU on {split} | against plain" for split in mean_ious)
    rule = "|---" * (1 + 2 * len(mean_ious)) + "|"
    by_split = [robustness_rows(values) for values in mean_ious.values()]
    rows = [
        "| " + " | ".join([name, *(cell for row in rows for cell in row[1:])]) + " |"
        for name, *rows in zip(conditions, *by_split, strict=True)
    ]
    table = "\n".join([head + " |", rule, *rows])
    return f"""## Robustness

The same images, shown as each row says: at half and twice the size at which the model is served, \
blurred, with Gaussian noise, compressed, with less and with more light (in linear light, clipped).

{table}
"""


def _score_table(scores: dict[str, dict[str, float]]) -> str:
    if not scores:
        return "Not scored: `segtrain evaluate` before the export fills this in."
    names = [
        name for name in next(iter(scores.values())) if all(name in s for s in scores.values())
    ]
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
