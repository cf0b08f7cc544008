"""Keep libraries from reporting to their makers that they are used.

OpenVINO and NNCF send each import and call to Google Analytics, with an id of the machine that
they keep in ~/intel, unless the user has said no before; nobody is asked. Without
`openvino-telemetry`, which they depend on, they send nothing.
"""

import sys
from typing import Any


def report_nothing() -> None:
    """Let `openvino-telemetry` not be found. To be said before OpenVINO or NNCF is imported."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
