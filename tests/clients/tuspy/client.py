"""tuspy sends a job's file, is cut off in the middle, and goes on; requests does the rest."""

import io
import sys
import time
from pathlib import Path

import numpy as np
import requests
from PIL import Image
from tusclient.client import TusClient

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
EXPECTED = np.load(FOLDER / "class_map.npy")
FILE = FOLDER / "image.png"
PART = FILE.stat().st_size // 5

client = TusClient(f"http://{HOST}/jobs?model=street")
sent = client.uploader(str(FILE), chunk_size=PART, metadata={"filename": "image.png"})
sent.upload_chunk()
sent.upload_chunk()

# another process finds out how far it came, and sends the rest
resumed = client.uploader(str(FILE), chunk_size=PART, url=sent.url)
assert resumed.offset == 2 * PART, resumed.offset
resumed.upload()

job = requests.get(sent.url, timeout=60).json()
assert job["file_name"] == "image.png"
while job["state"] not in ("done", "failed"):
    time.sleep(0.5)
    job = requests.get(sent.url, timeout=60).json()
assert job["state"] == "done", job
answer = requests.get(f"{sent.url}/result", timeout=60)
np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(answer.content))), EXPECTED)
assert requests.delete(sent.url, timeout=60).status_code == 204
print("tuspy: an upload that was cut off went on, and its result agrees with the native answer")
