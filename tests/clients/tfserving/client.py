"""The requests of TensorFlow Serving's own REST examples, with only host and model changed."""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import requests
from PIL import Image

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = (FOLDER / "image.png").read_bytes()
EXPECTED = np.load(FOLDER / "class_map.npy")
URL = f"http://{HOST}/v1/models/street"

# as resnet_client.py posts an encoded picture: a text without a JSON type
text = base64.b64encode(FILE).decode("utf-8")
response = requests.post(
    f"{URL}:predict", data=f'{{"instances": [{{"b64": "{text}"}}]}}', timeout=60
)
response.raise_for_status()
np.testing.assert_array_equal(np.array(response.json()["predictions"][0]), EXPECTED)

# as the Keras tutorials post pixels
data = json.dumps({"signature_name": "serving_default", "instances": PIXELS[np.newaxis].tolist()})
headers = {"content-type": "application/json"}
response = requests.post(f"{URL}:predict", data=data, headers=headers, timeout=60)
np.testing.assert_array_equal(np.array(response.json()["predictions"])[0], EXPECTED)

# in columns, and with a version
response = requests.post(
    f"{URL}/versions/1:predict", json={"inputs": {"image": [{"b64": text}]}}, timeout=60
)
np.testing.assert_array_equal(np.array(response.json()["outputs"])[0], EXPECTED)

status = requests.get(URL, timeout=60).json()["model_version_status"][0]
assert (status["version"], status["state"]) == ("1", "AVAILABLE")
signature = requests.get(f"{URL}/metadata", timeout=60).json()["metadata"]["signature_def"]
assert "image" in signature["signature_def"]["serving_default"]["inputs"]
missing = requests.post(f"http://{HOST}/v1/models/nobody:predict", data="{}", timeout=60)
assert (missing.status_code, list(missing.json())) == (404, ["error"])
print("tfserving: the examples' requests agree with the native answer")
