"""OpenVINO's `Core`, one for the whole process and kept until it ends.

Where a processor's registers are large (AVX-512 and up), OpenVINO's CPU plugin gives the thread
that first compiles an alternate stack for signals, and unmaps it when the plugin goes, which may be
on another thread. The next signal that Python takes on the first one, such as Ctrl-C, then ends the
process without a word. So the plugin stays.
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
