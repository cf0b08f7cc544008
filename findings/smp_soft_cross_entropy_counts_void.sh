#!/usr/bin/env bash
# A mask whose upper half is void (255). How large are segmentation_models_pytorch's SoftCrossEntropyLoss(smooth_factor=0, ignore_index=255) and its
# gradient, beside those of PyTorch's cross_entropy with the same ignore_index? And where nothing is void?
#
# What one would expect: the same in both cases. Without smoothing it is cross-entropy, its option has the name and the meaning of PyTorch's, and
# pixels that are ignored are ignored by the mean as well, as in the Dice, Lovász and focal losses of the package.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 segmentation-models-pytorch==0.6.0 timm==1.0.31 torch==2.15.0 torchvision==0.29.2
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch
from segmentation_models_pytorch.losses import FocalLoss, SoftCrossEntropyLoss
from torch.nn.functional import cross_entropy

print(f"  segmentation_models_pytorch {version('segmentation_models_pytorch')}, torch {torch.__version__}")
torch.manual_seed(0)
logits = torch.randn(2, 3, 8, 8, requires_grad=True)
mask = torch.randint(0, 3, (2, 8, 8))


def ratio(loss, other, mask):
    """Of the two losses, and of their gradients' norms."""
    found = []
    for one in (loss, other):
        value = one(logits, mask)
        (gradient,) = torch.autograd.grad(value, logits)
        found.append((value.item(), gradient.norm().item()))
    return [round(a / b, 3) for a, b in zip(*found)]


soft = SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255)
plain = lambda logits, mask: cross_entropy(logits, mask, ignore_index=255)
focal = FocalLoss("multiclass", ignore_index=255)
ratios = {}
for rows in (0, 4, 6):
    void = mask.clone()
    void[:, :rows] = 255
    ratios[rows] = ratio(soft, plain, void)
    print(f"  {rows / 8:.0%} void: {ratios[rows][0]} of PyTorch's loss, {ratios[rows][1]} of its gradient")
void = mask.clone()
void[:, :4] = 255
cut = focal(logits[:, :, 4:], mask[:, 4:]).item()
print(f"  the focal loss of the package with 50% void, over that of the other half alone: {focal(logits, void).item() / cut:.3f}")
sys.exit(ratios != {0: [1.0, 1.0], 4: [0.5, 0.5], 6: [0.25, 0.25]})
PY
