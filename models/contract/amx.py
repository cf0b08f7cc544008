"""Keep oneDNN off Intel's AMX, where OpenVINO 2026.1 to 2026.4 ends the process.

An int8 model with dynamic sizes is compiled into a kernel that reads past its memory when a picture
is small enough for its deepest map to be a pixel or two (openvinotoolkit/openvino#37577, open as of
November 2026): one small upload would take the server down. At the sizes that count, AVX-512's int8
is as fast for our networks.
"""

import os
from collections.abc import MutableMapping

VARIABLE = "ONEDNN_MAX_CPU_ISA"
NEWEST_WITHOUT_AMX = "AVX512_CORE_FP16"


def avoid_amx(environment: MutableMapping[str, str] = os.environ) -> None:
    """Cap oneDNN's instruction set. It must be said before its first computation; an operator's own
    cap is kept."""
    environment.setdefault(VARIABLE, NEWEST_WITHOUT_AMX)
