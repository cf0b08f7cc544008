"""Question: what does a picture cost the engine, against an earlier commit?

    .venv/bin/python -m benchmarks.engine [COMMIT …]                                     (1 minute)

The default engine with the bundled street of the commits, each checked out from this repository's
history, and of this one, in turn: CPU time of all threads for a picture of 480×360, alone and two
beside each other, and memory for each pixel of a large one. Where a CPU has AMX, set
ONEDNN_MAX_CPU_ISA=AVX512_CORE_FP16 for commits that do not do it themselves.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import openvino
from PIL import Image

from benchmarks.alternate import BEFORE, HERE, checked_out, full_name
from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import ROOT
from models.contract.amx import avoid_amx
from models.contract.openvino_core import openvino_core
from service.runtimes.openvino_graph import cut_at_logits

PICTURES = 4
ROUNDS = 15
LARGE_SIDE = 1536
PROFILED_RUNS = 50
INT8 = Path("models/zoo/street/1/assets.extra/openvino/int8.xml")
WORKER = Path(__file__).with_name("engine_worker.py")
BESIDE = {"alone": 1, "two beside each other": 2}


class Worker:
    """An engine in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._answer()

    def ask(self, question: str) -> float:
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("an engine's process has ended")
        return line


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=_add_arguments)
    avoid_amx()
    commits = [full_name(commit) for commit in run.given.commits]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = _write_pictures(folder)
        checkouts = {HERE: ROOT}
        checkouts |= {commit: stack.enter_context(checked_out(commit)) for commit in commits}
        workers = {
            name: stack.enter_context(_worker(checkout, files))
            for name, checkout in checkouts.items()
        }
        measured = {
            name: alternate(
                {
                    commit: partial(worker.ask, f"{callers} {2 * PICTURES}")
                    for commit, worker in workers.items()
                },
                run.rounds(ROUNDS),
                name,
            )
            for name, callers in BESIDE.items()
        }
        profiles = {
            name: _profile(folder / INT8, run.rounds(PROFILED_RUNS))
            for name, folder in checkouts.items()
        }
        memory = {name: worker.ask(f"memory {LARGE_SIDE}") for name, worker in workers.items()}
    result = {
        "images": source(),
        "here": full_name("HEAD"),
        "bytes_a_pixel": memory[HERE],
        "profile": profiles[HERE]["cut"],
        "against": {
            commit: {
                "bytes_a_pixel": memory[commit],
                "profile": profiles[commit]["whole"],
                **{
                    name: {
                        "here": summary(rounds[HERE]),
                        "there": summary(rounds[commit]),
                        "here_over_there": ratio(rounds[HERE], rounds[commit]),
                    }
                    for name, rounds in measured.items()
                },
            }
            for commit in commits
        },
    }
    run.write("engine", result)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commits", metavar="COMMIT", nargs="*", default=[BEFORE])


def _write_pictures(folder: Path) -> list[str]:
    files = []
    for index, photo in enumerate(photographs(PICTURES)):
        file = folder / f"{index}.png"
        Image.open(io.BytesIO(photo)).save(file)
        files.append(str(file))
    return files


def _profile(file: Path, runs: int) -> dict[str, dict[str, float]]:
    """By OpenVINO's own counters, the least milliseconds of the nodes of each kind on one thread:
    of the whole graph of the class map, and of what is left of it cut at its logits.
    """
    core = openvino_core()
    model = core.read_model(file)
    cut = cut_at_logits(model, 0)
    assert cut is not None
    whole = openvino.Model([model.output(0)], model.get_parameters())
    return {"whole": _times(core, whole, runs), "cut": _times(core, cut.model, runs)}


def _times(core: openvino.Core, model: openvino.Model, runs: int) -> dict[str, float]:
    settings = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    image = np.random.default_rng(0).integers(0, 256, (1, 384, 480, 3), np.uint8)
    least: dict[tuple[str, str], float] = {}
    for _ in range(runs):
        request.infer([image])
        for node in request.get_profiling_info():
            key = node.node_type, node.node_name
            taken = node.real_time.total_seconds() * 1e3
            least[key] = min(taken, least.get(key, taken))
    times: dict[str, float] = defaultdict(float)
    for (kind, _), taken in least.items():
        times[kind] += taken
    return dict(sorted(times.items(), key=lambda item: -item[1]))


@contextlib.contextmanager
def _worker(checkout: Path, files: list[str]) -> Iterator[Worker]:
    artefact = checkout / "models" / "zoo" / "street" / "1"
    process = subprocess.Popen(
        [sys.executable, str(WORKER), str(artefact), *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
