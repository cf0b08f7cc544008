"""An actor of a bulk job shows its pictures to the network as the server does; no cluster is
started."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.contract import FrameScale, read_contract, write_contract
from tests.service.serving import class_map_of, serving
from tests.solvable import save_solvable_model

pytest.importorskip("ray", reason="bulk jobs need it; requirements/dev.txt has it")

USED = {"auto": 0.125, "native": 1.0, "longest=100": 100 / 509}
# What Ray calls in a process of the actor's own, which ends with it.
ACTOR = """
import sys
import numpy as np
from pathlib import Path
from service.cluster.bulk import BulkJob, Segmenting
from service.cluster.files import Folder
from service.cluster.ledger import STEP
from service.outputs import OUTPUTS
from service.predict.model import pin_model
from service.settings import Settings

store, photos, masks, *scales = sys.argv[1:]
model = pin_model(Settings(model_store=Path(store)), "frames")
for scale in scales:
    target = f"{masks}/{scale}"
    job = BulkJob(photos, target, "png", OUTPUTS["png"].options(scale=scale), overwrite=False)
    actor = Segmenting(job, model, Folder.at(photos), Folder.at(target), 0)
    names = ("large", "small")
    steps = {"source": ["large.jpg", "small.png"], "target": ["large.png", "small.png"]}
    counts = actor({column: np.array(steps.get(column, names)) for column in STEP})
    assert (counts["images"].tolist(), counts["failed"].tolist()) == ([2], [0]), counts
"""


def test_a_bulk_job_sees_pictures_at_the_scale_of_the_server(tmp_path: Path) -> None:
    store, photos, masks = (tmp_path / name for name in ("store", "photos", "masks"))
    artefact = save_solvable_model(store, "frames", receptive_field_radius=5)
    facts = {"scale": FrameScale(long_side=64)}
    write_contract(artefact, read_contract(artefact).model_copy(update=facts))
    photos.mkdir()
    coarse = np.random.default_rng(8).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    for name, size in (("large.jpg", (509, 379)), ("small.png", (64, 48))):
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(photos / name)
    command = [sys.executable, "-c", ACTOR, str(store), str(photos), str(masks), *USED]
    root = str(Path(__file__).parents[3])
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    with serving(store) as server:
        for scale, used in USED.items():
            for name in ("large.jpg", "small.png"):
                body = (photos / name).read_bytes()
                answer = server.client.post("/segment", params={"scale": scale}, content=body)
                with Image.open(masks / scale / f"{Path(name).stem}.png") as found:
                    np.testing.assert_array_equal(np.asarray(found), class_map_of(answer))
                if name == "large.jpg":
                    assert float(answer.headers["X-Scale"]) == pytest.approx(used, rel=0.01)
