"""What becomes of the scores that `segtrain evaluate` found."""

from pathlib import Path

from models.export.model_card import with_robustness_section
from models.export.rewriting import rewrite_card
from models.training.assessment import Assessment
from models.training.robustness import robustness_rows
from models.training.run import Run


def keep_scores(assessment: Assessment, model: Run | Path) -> None:
    """Keep them where a run's model card is made of them; in the card of an exported model, whose
    scores are the training's, the robustness alone. Raises ContractError."""
    split, robustness = assessment.split, assessment.robustness
    if isinstance(model, Run):
        ious = {name: values["iou"] for name, values in assessment.by_class().items()}
        model.save_scores(split, assessment.summary(), ious, robustness)
    elif robustness is not None:
        rewrite_card(model, lambda card: with_robustness_section(card, {split: robustness}))


def print_scores(assessment: Assessment) -> None:
    """As a table of names and numbers."""
    print(f"{'scale':24} {assessment.scale}")
    for name, value in assessment.summary().items():
        print(f"{name.replace('_', ' '):24} {value:.4f}")
    if assessment.uncalibrated is not None:
        for name, value in assessment.uncalibrated.summary().items():
            print(f"{name.replace('_', ' '):24} {value:.4f}   before the temperature")
    print(f"{'images per second':24} {assessment.images_per_second:.1f}")
    for name, values in assessment.by_class().items():
        print(f"  IoU {name:20} {values['iou']:.4f}   Dice {values['dice']:.4f}")
    for condition, mean_iou, difference in robustness_rows(assessment.robustness or {}):
        print(f"  mean IoU, {condition:24} {mean_iou} {difference}".rstrip())
