"""Libraries report nothing to anybody: in processes of their own, with a home of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# What a server, `segtrain export`, `evaluate` and `quantize` do as far as the libraries go.
USES = {
    "serving": """
from service.catalogue.store import read_artefact, scan
from service.runtimes import RUNTIMES
from service.runtimes.engine import EngineOptions
artefact = scan(Path("models/zoo")).models["nuclei"][1]
options = EngineOptions(threads=1, streams=1)
RUNTIMES["openvino"].load(artefact.path, read_artefact(artefact)[0], options, "a test")
""",
    "exporting": """
from models.export.openvino import convert_to_openvino
convert_to_openvino(Path("models/zoo/nuclei/1"))
""",
    "evaluating": """
from models.training.evaluation import openvino_predictor
openvino_predictor(Path("models/zoo/nuclei/1/assets.extra/openvino/int8.xml"), "fp32")
""",
    "quantizing": """
from models.contract import read_contract
from models.export.quantize import _float_model
artefact = Path("models/zoo/nuclei/1")
_float_model(artefact, read_contract(artefact))
import nncf
""",
}


@pytest.mark.parametrize("use", USES)
def test_nothing_is_reported_and_no_id_is_kept(use: str, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
{USES[use]}
print("openvino" in sys.modules, sys.modules.get("openvino_telemetry"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "True None"
    assert not (tmp_path / "intel").exists()
