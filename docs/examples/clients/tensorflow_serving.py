"""Segment a photograph as TensorFlow Serving's own resnet_client.py asks: a file as base64.

python tensorflow_serving.py HOST:PORT MODEL PHOTOGRAPH MASK.png    (pip install requests pillow)
"""

import base64
import sys
from pathlib import Path

import numpy as np
import requests
from PIL import Image

server, model, photograph, mask = sys.argv[1:]
text = base64.b64encode(Path(photograph).read_bytes()).decode("utf-8")
request = f'{{"instances": [{{"b64": "{text}"}}]}}'
answer = requests.post(f"http://{server}/v1/models/{model}:predict", data=request, timeout=60)
answer.raise_for_status()
class_map = np.array(answer.json()["predictions"][0], np.uint8)
Image.fromarray(class_map).save(mask)
