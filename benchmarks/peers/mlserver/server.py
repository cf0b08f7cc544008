"""Write MLServer's two settings files into the folder MLSERVER_FOLDER, and start it there."""

import json
import os
import sys
from pathlib import Path

from segmentation import number

if __name__ == "__main__":
    folder = Path.cwd()
    port = number("PORT")
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": number("GRPC_PORT"),
        "metrics_endpoint": None,
        "parallel_workers": number("WORKERS"),
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "street", "implementation": "runtime.StreetRuntime"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    mlserver = Path(sys.executable).parent / "mlserver"
    os.execv(mlserver, [str(mlserver), "start", str(folder)])
