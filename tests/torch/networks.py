"""Networks as PyTorch's users have them, with random weights that give every class, in the files
that `segtrain adopt` reads, and torch's own answers: `python networks.py FOLDER`."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import nn

CLASSES = 5
MULTIPLES = {"unet": 32, "deeplab": 32, "segformer": 32, "fcn": 1, "nnunet": 2, "pspnet": 8}
SIZES = ((64, 96), (150, 133), (224, 320))  # H, W
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DYNAMIC = torch.export.Dim.DYNAMIC


class PlainUnet(nn.Module):
    """As nnU-Net's: instance norm, leaky ReLU, strided convolutions down, transposed ones up."""

    def __init__(self) -> None:
        super().__init__()

        def block(before: int, after: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1),
                nn.InstanceNorm2d(after, affine=True),
                nn.LeakyReLU(0.01),
            )

        self.first, self.down = block(3, 16), block(16, 24, 2)
        self.up = nn.ConvTranspose2d(24, 16, 2, stride=2)
        self.last = nn.Sequential(block(32, 16), nn.Conv2d(16, CLASSES, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        skip = self.first(image)
        return self.last(torch.cat([self.up(self.down(skip)), skip], 1))


class Fcn(nn.Module):
    """torchvision's, whose answer is a dict."""

    def __init__(self) -> None:
        super().__init__()
        build = torchvision.models.segmentation.fcn_resnet50
        self.body = build(weights=None, weights_backbone=None, num_classes=CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)["out"]


def build(name: str) -> nn.Module:
    torch.manual_seed(2)
    plain = {"encoder_weights": None, "classes": CLASSES}
    network = {
        "unet": lambda: smp.Unet("resnet18", **plain),
        "deeplab": lambda: smp.DeepLabV3Plus("resnet18", **plain),
        "segformer": lambda: smp.Segformer("resnet18", **plain),
        "fcn": Fcn,
        "nnunet": PlainUnet,
        "pspnet": lambda: smp.PSPNet("resnet18", **plain),
    }[name]()
    network.train()
    with torch.no_grad():  # running means and variances of something like pictures
        for _ in range(4):
            network(torch.randn(2, 3, 128, 128))
    return network.eval()


def save(network: nn.Module, name: str, folder: Path) -> list[str]:
    """Write it in each form, of any size."""
    image = torch.rand(2, 3, 64, 96)
    if name == "pspnet":  # ONNX would keep the windows of its adaptive pools
        height, width = (MULTIPLES[name] * torch.export.Dim(side, min=8) for side in "hw")
        shapes = ({0: DYNAMIC, 2: height, 3: width},)
        program = torch.export.export(network, (image,), dynamic_shapes=shapes)
        torch.export.save(program, folder / f"{name}.pt2")
        return [f"{name}.pt2"]
    file = folder / f"{name}.onnx"
    if name != "nnunet":  # torch.export fixes the sizes of these, or asks for bounds
        axes = {place: {0: "n", 2: "h", 3: "w"} for place in ("image", "mask")}
        names = {"input_names": ["image"], "output_names": ["mask"]}
        torch.onnx.export(
            network, (image,), file, dynamo=False, dynamic_axes=axes, opset_version=17, **names
        )
        return [file.name]
    shapes = ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},)
    exported = {"dynamic_shapes": shapes, "external_data": False, "verbose": False}
    torch.onnx.export(network, (image,), file, **exported)
    program = torch.export.export(network, (image,), dynamic_shapes=shapes)
    torch.export.save(program, folder / f"{name}.pt2")
    torch.jit.trace(network, image).save(folder / f"{name}.torchscript")
    return [file.name, f"{name}.pt2", f"{name}.torchscript"]


def picture(height: int, width: int) -> np.ndarray:
    draw = np.random.default_rng(height)
    coarse = draw.integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    return coarse.repeat(16, 0).repeat(16, 1)[:height, :width]


def answer(network: nn.Module, image: np.ndarray, multiple: int) -> np.ndarray:
    """torch's class map of the image, mirrored to a multiple."""
    height, width = image.shape[:2]
    widths = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    padded = np.pad(image, widths, mode="reflect")
    values = ((padded / 255 - MEAN) / STD).transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(values))[0].numpy()
    return logits.argmax(0)[:height, :width].astype(np.uint8)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    said = {}
    for name, multiple in MULTIPLES.items():
        network = build(name)
        for file in save(network, name, folder):
            said[file] = name
        for size in SIZES:
            np.save(folder / f"{name}-{size[0]}.npy", answer(network, picture(*size), multiple))
    for size in SIZES:
        np.save(folder / f"picture-{size[0]}.npy", picture(*size))
    (folder / "networks.json").write_text(json.dumps(said))
