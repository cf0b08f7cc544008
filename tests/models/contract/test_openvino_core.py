"""What OpenVINO leaves behind in a process, in a process of its own."""

import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="the cpu extra is not installed")

# Compiled on the thread that takes signals, dropped on another one.
DROPPED_ELSEWHERE = """
import signal
import threading

import numpy as np
import openvino
from openvino import opset13 as ops

from models.contract.openvino_core import openvino_core

image = ops.parameter([1, 3, 8, 8], np.float32)
weights = ops.constant(np.ones((4, 3, 1, 1), np.float32))
found = ops.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1])
compiled = [openvino_core().compile_model(openvino.Model([found], [image]), "CPU")]
thread = threading.Thread(target=compiled.clear)
thread.start()
thread.join()
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it is ignored from outside
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_signals_are_taken_when_a_model_was_dropped_by_another_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", DROPPED_ELSEWHERE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr
