"""Make the ONNX files of this folder: small networks of the kinds that PyTorch users have, with
random weights that give every class.

In an environment of its own: `pip install torch onnx onnxscript`, then `python make.py`.
"""

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent


def block(before: int, after: int, norm: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), norm(after), nn.LeakyReLU(0.01))


class PlainUnet(nn.Module):
    """As nnU-Net's: instance norm, leaky ReLU, strided convolutions down, transposed ones up."""

    def __init__(self) -> None:
        super().__init__()
        norm: Any = lambda n: nn.InstanceNorm2d(n, affine=True)
        self.first = block(3, 8, norm)
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.middle = block(12, 12, norm)
        self.up = nn.ConvTranspose2d(12, 8, 2, stride=2)
        self.last = nn.Sequential(block(16, 8, norm), nn.Conv2d(8, 4, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        skip = self.first(image)
        up = self.up(self.middle(self.down(skip)))
        return self.last(torch.cat([up, skip], 1))


class GlobalContext(nn.Module):
    """As DeepLab: dilated convolutions and the whole image's mean, logits an eighth of the size
    that are interpolated to the image's."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            *(block(a, b, nn.BatchNorm2d) for a, b in ((3, 8), (8, 8))),
            nn.Conv2d(8, 12, 8, stride=8),
        )
        self.far = nn.Conv2d(12, 8, 3, padding=2, dilation=2)
        self.mean = nn.Conv2d(12, 8, 1)
        self.last = nn.Conv2d(16, 5, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.down(image)
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])
        logits = self.last(torch.cat([self.far(x).relu(), mean], 1))
        return functional.interpolate(logits, image.shape[2:], mode="bilinear")


class Quarter(nn.Module):
    """As SegFormer: logits a quarter of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 7, 4, 3), nn.GELU(), nn.Conv2d(16, 6, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)


class Reflected(nn.Module):
    """Reflected padding of 6 pixels, which no picture under 7 has room for; one sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReflectionPad2d(6), nn.Conv2d(1, 1, 13), nn.Sigmoid())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)


def strong(network: nn.Module, gain: float) -> nn.Module:
    """Weights large enough for every class to occur."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=gain / module.weight[0].numel() ** 0.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def export(
    network: nn.Module, name: str, *, channels: int = 3, size: tuple[int, int] | None = None
) -> None:
    """Of any size, unless it is to take `size` alone."""
    image = torch.rand(1, channels, *(size or (64, 96)))
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        network,
        (image,),
        HERE / f"{name}.onnx",
        dynamic_shapes=None if size else (free,),
        input_names=["image"],
        output_names=["mask"],
        external_data=False,
        verbose=False,
    )
    _forget_this_machine(HERE / f"{name}.onnx")


def _forget_this_machine(path: Path) -> None:
    """Leave out each node's stack, which names this machine's files."""
    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    onnx.save(model, path)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    export(strong(PlainUnet(), 2.0), "plain_unet")
    export(strong(GlobalContext(), 2.0), "global_context")
    export(strong(Quarter(), 3.0), "quarter")
    export(strong(Reflected(), 8.0), "reflected", channels=1)
    export(strong(PlainUnet(), 2.0), "fixed", size=(96, 128))
