"""OpenVINO's `Core`, one for the whole process and kept until it ends.

On Linux OpenVINO's CPU plugin gives the thread that first compiles another alternate stack for
signals, and unmaps it when the plugin goes, whichever thread drops it
(`src/plugins/intel_cpu/src/sigstack_manager.cpp`). Where that was another one, the next signal that
Python takes on the first, such as Ctrl-C, ends the process without a word. So the plugin stays.
"""

from functools import cache
from typing import TYPE_CHECKING

from models.contract.amx import avoid_amx
from models.contract.usage_reports import report_nothing

if TYPE_CHECKING:
    import openvino


@cache
def openvino_core() -> "openvino.Core":
    """The process's Core, of which all of its models are read and compiled. Raises ImportError."""
    avoid_amx()  # before the first computation
    report_nothing()
    import openvino

    return openvino.Core()
