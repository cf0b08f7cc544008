"""report.html: what an assessment found, to look at; report.json: the same as numbers."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.contract import atomic
from models.data.dataset import VOID
from models.data.page import (
    Block,
    Drawing,
    Facts,
    Figure,
    Gallery,
    Legend,
    Section,
    Table,
    Text,
    write_page,
)
from models.data.tiles import colorize_mask, jpeg_data_uri, side_by_side, thumbnail
from models.training.assessment import Assessment, ImageScore
from models.training.calibration import Calibration
from models.training.charts import Line, chart_row, line_chart
from models.training.evaluation import Predictor
from models.training.robustness import robustness_rows
from models.training.run import Run

SHOWN = 3  # pictures of each kind at most: best, median, worst


def write_report(
    path: Path, assessment: Assessment, predictor: Predictor, name: str, run: Run | None = None
) -> None:
    """Write `path` (HTML) and beside it the same name with .json; a run adds its curves."""
    title = f"{name} on {assessment.split}"
    data = assessment.dataset.class_list.name
    count = len(assessment.images)
    images = "1 image" if count == 1 else f"{count} images"
    how = f"{assessment.inference_mode}, scale {assessment.scale}"
    lead = f"{images} of {data}. Inference mode: {how}."
    sections = [
        Section("Scores", [Facts(_facts(assessment)), Text(_SCORES)]),
        *([Section("Training", _curves(run))] if run and run.metrics() else []),
        Section("Classes", [_class_table(assessment)]),
        Section("Confusion", [Text(_CONFUSION), _confusion_table(assessment)]),
        Section("Calibration", _reliability(assessment)),
        *_robustness(assessment),
        Section("Predictions", _predictions(assessment, predictor)),
    ]
    numbers = json.dumps(assessment.document(), indent=1) + "\n"
    atomic.write_text(path.with_suffix(".json"), numbers)
    write_page(path, title, lead, sections)


def write_unscored_report(path: Path, name: str, run: Run) -> None:
    """Write `path` (HTML) of a run that held no image back, and beside it the same name with .json:
    how it learned, and no score."""
    state = run.state
    document = {"epochs": state.epochs_done, "seconds": state.seconds, "split": None}
    atomic.write_text(path.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    write_page(path, f"{name}, not scored", _NOT_SCORED, [Section("Training", _curves(run))])


_NOT_SCORED = (
    "No image was held back (split.validation = false), so nothing here says how good the network "
    "is. segtrain evaluate scores it on images that it has not seen: those of test, or of another "
    "folder (--data)."
)
_SCORES = (
    "All but boundary F1 and calibration come from one confusion matrix over the split, void "
    "pixels left out. Boundary F1 is the mean over images, within 0.75 % of the diagonal. The "
    "means leave out classes that occur in neither masks nor class maps."
)
_LOSS = "Loss on the augmented views of train"
_RATE = "the learning rate at each epoch's end"
_CONFUSION = "Of the pixels of each class (row), the percentage that was given each class (column)."
_CALIBRATION = (
    "Of the pixels with a confidence as on the x axis, the share that is right. On the dashed "
    "line, confidence is what it says; below it, the model is surer than it should be. {errors}"
)
_CALIBRATION_NOTE = (
    "ECE: the expected calibration error over 15 bins. Class-wise: the mean over classes of that "
    "of the class's own probability. Brier: the mean squared distance of a pixel's probabilities "
    "to the truth, 0 to 2."
)
_ROBUSTNESS = "The same images once more, each shown to the model as the row says."
_PREDICTIONS = (
    "By each image's own mean IoU: image, truth, prediction, and in red where they "
    "differ. White is void."
)


def _facts(assessment: Assessment) -> list[tuple[str, str]]:
    named = [
        (_fraction(value), name.replace("_", " ").replace("iou", "IoU").replace("f1", "F1"))
        for name, value in assessment.summary().items()
    ]
    return [*named, (f"{assessment.images_per_second:.1f}", "images a second, model alone")]


def _curves(run: Run) -> list[Block]:
    rows, state = run.metrics(), run.state
    epochs = [float(row["epoch"]) for row in rows]

    def line(name: str, column: str) -> Line:
        return Line(name, list(zip(epochs, (float(row[column]) for row in rows), strict=True)))

    facts = [(str(state.epochs_done), "epochs"), (f"{state.seconds / 60:.1f}", "minutes")]
    loss = line_chart([line("training loss", "loss")], "epoch")
    rate = line_chart([line("learning rate", "learning_rate")], "epoch")
    if not run.recipe.split.validation:
        drawing = chart_row(loss, rate)
        return [Facts(facts), Drawing(drawing, f"{_LOSS}; {_RATE}.")]
    facts.append((f"{state.best_mean_iou:.4f}", f"best val mean IoU, epoch {state.best_epoch}"))
    val = [line("mean IoU", "val_mean_iou"), line("pixel accuracy", "val_pixel_accuracy")]
    drawing = chart_row(loss, line_chart(val, "epoch"), rate)
    return [Facts(facts), Drawing(drawing, f"{_LOSS}; scores on val; {_RATE}.")]


def _class_table(assessment: Assessment) -> Table:
    classes, scores = assessment.dataset.class_list.classes, assessment.scores
    total = max(int(scores.class_pixels.sum()), 1)
    rows = [
        (
            c.name,
            _fraction(values["iou"]),
            _fraction(values["dice"]),
            _fraction(values["accuracy"]),
            f"{scores.class_pixels[c.id] / total:.2%}",
        )
        for c, values in zip(classes, assessment.by_class().values(), strict=True)
    ]
    header = ("class", "IoU", "Dice (F1)", "accuracy", "share of pixels")
    return Table(header, rows, [c.color for c in classes])


def _confusion_table(assessment: Assessment) -> Table:
    classes, counts = assessment.dataset.class_list.classes, assessment.confusion.counts
    rows = [
        (c.name, *(f"{count / total:.1%}" if total else "–" for count in row))
        for c, row, total in zip(classes, counts, counts.sum(axis=1), strict=True)
    ]
    return Table(("truth", *(c.name for c in classes)), rows, [c.color for c in classes])


def _reliability(assessment: Assessment) -> list[Block]:
    before, served = assessment.uncalibrated, assessment.calibration
    named = {"as served": served} if before is None else {"before": before, "as served": served}
    lines = [
        *(Line(name, _reliability_line(calibration)) for name, calibration in named.items()),
        Line("perfect", [(0.0, 0.0), (1.0, 1.0)], dashed=True),
    ]
    how = (
        "No temperature was applied."
        if before is None
        else "The model's temperature was applied to what is served."
    )
    rows = [
        (name, *(_fraction(value) for value in calibration.summary().values()))
        for name, calibration in named.items()
    ]
    header = ("probabilities", "ECE", "class-wise ECE", "Brier", "log loss")
    return [
        Text(_CALIBRATION.format(errors=how)),
        Drawing(line_chart(lines, "confidence", (0.0, 1.0)), "Reliability"),
        Table(header, rows),
        Text(_CALIBRATION_NOTE),
    ]


def _reliability_line(calibration: Calibration) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for x, y in zip(calibration.confidence, calibration.accuracy, strict=True)
        if math.isfinite(x)
    ]


def _robustness(assessment: Assessment) -> list[Section]:
    if assessment.robustness is None:
        return []
    header = ("shown", "mean IoU", "against plain")
    table = Table(header, robustness_rows(assessment.robustness))
    return [Section("Robustness", [Text(_ROBUSTNESS), table])]


def _predictions(assessment: Assessment, predictor: Predictor) -> list[Block]:
    ranked = sorted(
        (scored for scored in assessment.images if math.isfinite(scored.mean_iou)),
        key=lambda scored: -scored.mean_iou,
    )
    shown = max(1, min(SHOWN, len(ranked) // 3))
    middle = (len(ranked) - shown) // 2
    kinds: dict[str, Sequence[ImageScore]] = {
        "best": ranked[:shown],
        "median": ranked[middle : middle + shown],
        "worst": ranked[-shown:],
    }
    picked: dict[ImageScore, list[str]] = {}  # of one or two images, one is of several kinds
    for kind, those in kinds.items():
        for scored in those:
            picked.setdefault(scored, []).append(kind)
    figures = [
        Figure(
            _strip(assessment, predictor, scored),
            f"{', '.join(names)}: {assessment.name_of(scored.sample)}, mean IoU "
            f"{scored.mean_iou:.3f}",
        )
        for scored, names in picked.items()
    ]
    classes = assessment.dataset.class_list.classes
    return [Text(_PREDICTIONS), Legend(classes), Gallery(figures, min_width=520)]


def _strip(assessment: Assessment, predictor: Predictor, scored: ImageScore) -> str:
    """Image, truth, prediction and error side by side."""
    dataset = assessment.dataset
    classes = dataset.class_list.classes
    image, mask = scored.sample.read(dataset.channels)
    class_map = predictor.class_maps(image[np.newaxis])[0]
    void = mask >= len(classes)
    gray = (image.mean(axis=-1, keepdims=True) * 0.5).astype(np.uint8).repeat(3, axis=-1)
    error = np.where(((mask != class_map) & ~void)[..., np.newaxis], (255, 60, 60), gray)
    error[void] = 255
    truth = colorize_mask(np.where(void, VOID, mask).astype(np.uint8), classes)
    prediction = colorize_mask(class_map, classes)
    return jpeg_data_uri(
        side_by_side(
            [
                thumbnail(image),
                *(thumbnail(part, nearest=True) for part in (truth, prediction)),
                thumbnail(error.astype(np.uint8), nearest=True),
            ]
        )
    )


def _fraction(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
