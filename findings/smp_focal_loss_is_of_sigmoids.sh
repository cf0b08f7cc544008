#!/usr/bin/env bash
# Ten pixels look alike; six of them are road, three pavement, one is grass. Three logits are fitted to them, once with PyTorch's cross-entropy and
# once with segmentation_models_pytorch's FocalLoss("multiclass", gamma=0). Are the shares that softmax makes of the logits the same, 0.6, 0.3 and 0.1?
#
# What one would expect: yes. With gamma = 0 the focal loss is cross-entropy (Lin et al. 2017, section 3.2), and classes that exclude each other,
# as the mode says that these do, have a softmax, as in all other losses of that package in this mode.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 segmentation-models-pytorch==0.6.0 timm==1.0.31 torch==2.15.0 torchvision==0.29.2
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss
from torch.nn.functional import cross_entropy

print(f"  segmentation_models_pytorch {version('segmentation_models_pytorch')}, torch {torch.__version__}")
mask = torch.tensor([[[0] * 6 + [1] * 3 + [2]]])  # (1, 1, 10)
focal = FocalLoss("multiclass", gamma=0)


def fitted(loss):
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-9)

    def closure():
        optimizer.zero_grad()
        value = loss(logits[None, :, None, None].expand(1, 3, 1, 10), mask)
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach()


found = {}
for name, loss in (("cross-entropy", cross_entropy), ("focal, gamma 0", focal)):
    logits = fitted(loss)
    found[name] = logits.softmax(0)
    print(f"  {name}: softmax {found[name].numpy().round(3)}, sigmoid {logits.sigmoid().numpy().round(3)}")
picture = torch.randn(1, 3, 1, 10, generator=torch.Generator().manual_seed(1))
moved = [abs(float(loss(picture + 3, mask) - loss(picture, mask))) for loss in (cross_entropy, DiceLoss("multiclass"), focal)]
print(f"  3 added to all logits, which softmax forgets, changes cross-entropy by {moved[0]:.4f}, DiceLoss by {moved[1]:.4f}, FocalLoss by {moved[2]:.4f}")
print("FocalLoss takes each class for itself, by a sigmoid: it is a network of sigmoids that it trains, and the softmax of its logits is too sure.")
shares = torch.tensor([0.6, 0.3, 0.1])
odds = shares / (1 - shares)
as_found = torch.allclose(found["cross-entropy"], shares, atol=1e-3) and torch.allclose(found["focal, gamma 0"], odds / odds.sum(), atol=1e-3)
sys.exit(not (as_found and max(moved[:2]) < 1e-4 < 0.1 < moved[2]))
PY
