"""ONNX Runtime in a plain FastAPI server, as their documents have it: a session with the settings
it has by itself, and a route that FastAPI runs in its pool of threads. Not a benchmark itself.

MODEL is the ONNX file. THREADS cores are used by one inference (0 for ONNX Runtime's own choice)
and INFERENCES run at once (0 for as many as come).
"""

import contextlib
import io
import os
import threading

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Response, UploadFile
from PIL import Image

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)
COLORS = bytes(range(15)) + bytes(753)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
session = onnxruntime.InferenceSession(
    os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
)
at_once = int(os.environ.get("INFERENCES", "0"))
turn = threading.Semaphore(at_once) if at_once else contextlib.nullcontext()
app = FastAPI()


@app.post("/segment")
def segment(image: UploadFile) -> Response:
    pixels = np.asarray(Image.open(image.file).convert("RGB"), np.float32)
    values = ((pixels / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)[np.newaxis]
    with turn:
        (logits,) = session.run(None, {"image": values})
    mask = Image.fromarray(logits[0].argmax(axis=0).astype(np.uint8))
    mask.putpalette(COLORS)
    file = io.BytesIO()
    mask.save(file, "PNG", compress_level=1)
    return Response(file.getvalue(), media_type="image/png")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="error")
