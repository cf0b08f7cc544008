#!/bin/bash
# A program compiles a model for the CPU by OpenVINO on its main thread and later drops it on a worker's, as a server does that changes models in
# the background. Python takes its signals on the main thread, on an alternate stack where there is one (faulthandler makes one, pytest turns it on).
# Is that stack still what it was?
#
# What one would expect: yes. Inference has nothing to do with signals, and a library that does change a thread's stack for them puts it back there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 openvino==2026.4.1
cd "$folder"
cat > show.py <<'PY'
import ctypes
import faulthandler
import sys
import threading

import numpy as np
import openvino
from openvino import opset13 as ops


class Stack(ctypes.Structure):  # stack_t of signal.h
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def stack():
    """The alternate stack of this thread, which is asked for and not changed, and whether its memory is there."""
    found = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    with open("/proc/self/maps") as file:
        ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in file]
    there = any(low <= (found.start or 0) < high for low, high in ranges)
    return found.start, "there" if there else "unmapped"


faulthandler.enable()
before = stack()
image = ops.parameter([1, 3, 8, 8], np.float32)
core = openvino.Core()
held = [core.compile_model(openvino.Model([ops.relu(image)], [image]), "CPU"), core]
del core
compiled = stack()
if sys.argv[1] == "same":
    held.clear()
else:
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
after = stack()
print("faulthandler's" if compiled[0] == before[0] else "another", "faulthandler's" if after[0] == before[0] else "another", after[1])
PY
version=$(venv/bin/python -c "import openvino; print(openvino.__version__)")
read -r compiled_same after_same memory_same < <(venv/bin/python show.py same 2>/dev/null)
read -r compiled_other after_other memory_other < <(venv/bin/python show.py other 2>/dev/null)
echo "openvino $version; the main thread's alternate stack for signals"
echo "  dropped by the main thread    once compiled: $compiled_same, at the end: $after_same, its memory is $memory_same"
echo "  dropped by another thread     once compiled: $compiled_other, at the end: $after_other, its memory is $memory_other"
echo "The CPU plugin gives the thread that first compiles a stack of its own, and unmaps it when the last model and Core go, on whatever thread. What the"
echo "first thread is left with then is no memory, and the next signal that has a handler of Python's (Ctrl-C, a timer, a child's end) finds no stack."
[ "$compiled_same $after_same $memory_same" = "another faulthandler's there" ]
[ "$compiled_other $after_other $memory_other" = "another another unmapped" ]
