"""From a run folder to an artefact: the facts and the card that the training left behind."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

from models.architectures.networks import with_facts
from models.architectures.start import is_exported
from models.architectures.table import SCALED_BY_WIDTH
from models.contract import ContractError, Intensity, Scale, Training, read_contract
from models.contract.preprocessing import read_scale
from models.data.dataset import ClassList, Dataset, DatasetError
from models.data.examination import examine
from models.data.reading import read_dataset
from models.data.record import DatasetRecord, class_difference, split_record
from models.export.artefact import ExportError, Measure, ModelFacts
from models.export.confidence import measure_on
from models.export.format_options import FormatName
from models.export.model_card import model_card, with_robustness_section
from models.export.saved_model import export_network
from models.training.checkpoint import load_network
from models.training.recipe import Recipe
from models.training.run import BEST, LAST, Run, SplitScores, is_run

logger = logging.getLogger(__name__)


def export_run(
    folder: Path,
    store: Path,
    version: int | None,
    *,
    data: Path | None = None,
    with_openvino: bool | None = False,
    scale: str | None = None,
    formats: Sequence[FormatName] = (),
) -> Path:
    """Export a run's best model; the card shows the splits that `segtrain evaluate` has scored.

    `formats` are files of other runtimes, to take elsewhere.
    `scale` takes the place of what the run found in its data, as a recipe's does.
    `data` is where the data of a run of release 0.1 are, which keeps no class list. Raises
    ExportError, DatasetError, RecipeError and DamagedFileError.
    """
    if not is_run(folder):
        raise ExportError(f"{folder} is not a run folder; `segtrain train` makes one")
    run = Run.open(folder)
    if not (folder / BEST).exists():
        raise ExportError(
            f"{folder} has no epoch that was validated yet; run `segtrain train` again to resume it"
        )
    state, recipe = run.state, run.recipe
    class_list, split_sizes = _data_of(run, data)
    scored = _scores_of(run, class_list)
    training = Training(
        dataset=class_list.name,
        licence=class_list.licence,
        source=class_list.source,
        split_sizes=split_sizes,
        seed=recipe.seed,
        epochs=state.epochs_done,
        minutes=round(state.seconds / 60, 1),
        finished=datetime.fromtimestamp((folder / LAST).stat().st_mtime, UTC).date(),
        scores={split: entry.summary for split, entry in scored.items()},
    )
    seen_at, intensity, lines = _seen(run, scale)
    network = with_facts(load_network(folder / BEST), recipe.network)
    facts = ModelFacts(
        name=recipe.name,
        classes=class_list.classes,
        background=class_list.background,
        ignore=class_list.ignore,
        architecture=_architecture(recipe),
        upsampling=recipe.network.upsampling,
        training=training,
        scale=seen_at,
        intensity=intensity,
    )
    card = model_card(
        recipe.name,
        f"{_architecture(recipe)}, {network.parameters:,} parameters: {class_list.task}.",
        class_list.classes,
        training,
        {split: entry.class_iou for split, entry in scored.items()},
        _recipe_text(recipe),
        _start(recipe),
        _how(recipe),
        lines,
    )
    shown = {split: entry.robustness for split, entry in scored.items() if entry.robustness}
    if shown:
        card = with_robustness_section(card, shown)
    return export_network(
        network,
        facts,
        card,
        store,
        version,
        recipe=_recipe_text(recipe),
        with_openvino=with_openvino,
        formats=formats,
        measure=_measure(run),
    )


def _measure(run: Run) -> Measure | None:
    """What fits temperatures on the run's own val; None, and a warning, where its data are gone or
    have changed."""
    record, recipe = run.record, run.recipe
    reason = f"{recipe.data} is not what it was trained on any more"
    if not recipe.split.validation:
        reason = "split.validation = false held no image back"
    elif record is None:
        reason = "it was made by release 0.1"
    elif not recipe.data.is_dir():
        reason = f"its data are not at {recipe.data}"
    else:
        with contextlib.suppress(DatasetError):
            dataset = read_dataset(recipe.data, recipe.split, recipe.layout)
            if record.is_of(dataset) or _has_same_pictures(record, dataset, recipe):
                return measure_on(dataset.with_intensity(record.intensity))
    logger.warning(
        "%s: no temperature is fitted, for %s; `segtrain calibrate STORE/NAME/VERSION --data "
        "FOLDER` does it later",
        run.folder,
        reason,
    )
    return None


def _has_same_pictures(record: DatasetRecord, dataset: Dataset, recipe: Recipe) -> bool:
    """Whether train and val are what the run has seen, though their files were copied or written
    anew. Raises DatasetError."""
    splits = {name: dataset.split(name) for name in recipe.split.training_splits}
    examination = examine(replace(dataset, splits=splits))
    return all(split_record(examination, name) == record.splits.get(name) for name in splits)


def _seen(run: Run, asked: str | None) -> tuple[Scale | None, Intensity | None, list[str]]:
    """The scale and the intensity that the run found in its data, and both in words; another scale
    where one is asked for. A run of before there were any has none."""
    kept = run.record.preprocessing if run.record else None
    scale = read_scale(asked) if asked is not None else None
    if kept is None:
        return scale, None, [] if scale is None else [f"scale: {scale.text}"]
    if scale is not None:
        reason = "segtrain export was told so"
        kept = kept.model_copy(update={"scale": scale, "scale_reason": reason})
    return kept.scale, kept.intensity, kept.lines


def _data_of(run: Run, folder: Path | None) -> tuple[ClassList, dict[str, int]]:
    """The classes of a run, and the number of images in each split."""
    record = run.record
    if record is not None:
        if folder is not None:
            raise ExportError(f"{run.folder} keeps its classes itself; leave --data out")
        return record.class_list, {name: split.images for name, split in record.splits.items()}
    recipe = run.recipe
    if folder is None and not recipe.data.is_dir():
        raise ExportError(
            f"{run.folder} was made by release 0.1, which kept no class list, and its data are not "
            f"at {recipe.data}; say where they are: --data FOLDER"
        )
    dataset = read_dataset(folder or recipe.data, recipe.split, recipe.layout)
    names = [c.name for c in dataset.class_list.classes]
    difference = class_difference(run.class_names() or names, names)
    if difference is not None:
        raise ExportError(
            f"{run.folder} was trained on other classes than {dataset.folder} has now: "
            f"{difference}. Give the classes there the names they had"
        )
    return dataset.class_list, {name: len(samples) for name, samples in dataset.splits.items()}


def _scores_of(run: Run, class_list: ClassList) -> dict[str, SplitScores]:
    """The scores kept so far. Raises ExportError where they are of classes of other names."""
    scored = run.scores()
    names = [c.name for c in class_list.classes]
    for split, scores in scored.items():
        if list(scores.class_iou) != names:
            raise ExportError(
                f"the scores of {split} in {run.folder} are of the classes "
                f"{', '.join(scores.class_iou)}, and the model's are {', '.join(names)}; say "
                f"segtrain evaluate {run.folder} --split {split} again"
            )
    return scored


def _architecture(recipe: Recipe) -> str:
    network = recipe.network
    details = [
        detail
        for detail, told in (
            (network.encoder, network.encoder != "plain"),
            (f"width {network.width}", network.encoder in SCALED_BY_WIDTH or network.width != 64),
            ("valid convolutions", network.padding == "valid"),
        )
        if told
    ]
    return f"{network.name} ({', '.join(details)})"


def _start(recipe: Recipe) -> str:
    weights, coarser = recipe.network.weights, recipe.network.initialize_from
    if coarser is not None:
        origin = f"the model {_short(str(coarser))}{_trained_on(coarser)}"
        if not is_exported(coarser):
            origin = f"the run {coarser.name}"
        return f"The weights started from those of {origin}."
    if weights is None:
        return "All weights started at random."
    if weights == "imagenet":
        origin = "Keras' ImageNet weights"
    elif Path(weights).name.isdecimal():
        origin = f"that of the model {_short(weights)}{_trained_on(Path(weights))}"
    else:
        origin = f"the weights in {_short(weights)}"
    return f"The encoder started from {origin}, the rest at random."


def _how(recipe: Recipe) -> str:
    loss = " + ".join(
        f"{term.weight:g} {term.name}" if term.weight != 1 else term.name
        for term in recipe.loss.terms
    )
    parts = [
        f"Loss: {loss.replace('_', ' ')}, class weights {recipe.class_weights.replace('_', ' ')}"
    ]
    if recipe.loss.border_weight:
        parts.append(f"U-Net border weights of {recipe.loss.border_weight:g}")
    if recipe.distillation.teachers:
        teachers = " and ".join(_short(str(path)) for path in recipe.distillation.teachers)
        parts.append(f"it also learned the answers of {teachers}")
    parts.append(
        f"the running average of the weights, decay {recipe.ema_decay:g}"
        if recipe.ema_decay
        else "the weights of one epoch, not averaged"
    )
    parts.append(f"arithmetic in {recipe.precision}, kept in float32")
    return "; ".join(parts) + "."


def _short(weights: str) -> str:
    """A file's name, or a model's with its version."""
    path = Path(weights)
    return f"{path.parent.name}/{path.name}" if path.name.isdecimal() else path.name


def _trained_on(artefact: Path) -> str:
    """The data of the model that was started from and their licence, where the model is still
    there."""
    try:
        training = read_contract(artefact).training
    except ContractError:
        return ""
    return f", which was trained on {training.dataset} ({training.licence})" if training else ""


def _recipe_text(recipe: Recipe) -> str:
    """The recipe as TOML, with file names in place of the paths of one machine."""
    document = recipe.model_dump(mode="json", exclude_none=True)
    document["data"] = recipe.data.name
    if recipe.network.weights is not None:
        document["network"]["weights"] = _short(recipe.network.weights)
    if recipe.layout.palette is not None:
        document["layout"]["palette"] = recipe.layout.palette.name
    if recipe.network.initialize_from is not None:
        document["network"]["initialize_from"] = _short(str(recipe.network.initialize_from))
    document["distillation"]["teachers"] = [_short(str(p)) for p in recipe.distillation.teachers]
    return tomli_w.dumps(document)
