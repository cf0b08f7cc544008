#!/usr/bin/env bash
# A network halves its features and doubles them again, so its sides have to be even, and torch.export is told so: 2 * Dim("h"). The program is
# saved (torch.export.save) and loaded again. Can it be brought into PyTorch's core operators (run_decompositions), from which runtimes read it?
#
# What one would expect: as the program in memory can, for the file is torch's own and the loaded program runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 torch==2.15.0
"$folder/venv/bin/python" - <<'PY' 2> /dev/null
import io
import sys

import torch
from torch.nn.functional import avg_pool2d, interpolate


class Network(torch.nn.Module):
    def forward(self, picture):
        return interpolate(avg_pool2d(picture, 2), scale_factor=2.0)


def decomposed(program):
    try:
        program.run_decompositions()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "is decomposed"


print(f"  torch {torch.__version__}")
found = {}
for said, height in (("Dim('h')", torch.export.Dim("h", min=8)), ("2 * Dim('h')", 2 * torch.export.Dim("h", min=8))):
    program = torch.export.export(Network(), (torch.rand(1, 3, 64, 64),), dynamic_shapes=({2: height},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file)
    picture = torch.rand(1, 3, 96, 64)
    is_same = torch.equal(loaded.module()(picture), Network()(picture))
    found[said] = decomposed(program), decomposed(loaded)
    print(f"  height {said}: in memory it {found[said][0]}; loaded it answers as before: {is_same}, and {found[said][1]}")

fine, broken = found["Dim('h')"], found["2 * Dim('h')"]
sys.exit(not (fine == ("is decomposed",) * 2 and broken[0] == "is decomposed" and broken[1].startswith("AssertionError")))
PY
