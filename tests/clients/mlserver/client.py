"""MLServer's codecs write the requests and read the answers; requests carries them."""

import sys
from pathlib import Path

import numpy as np
import requests
from mlserver.codecs import Base64Codec, NumpyCodec, NumpyRequestCodec, StringCodec
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexResponse,
)
from PIL import Image

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = (FOLDER / "image.png").read_bytes()
EXPECTED = np.load(FOLDER / "class_map.npy")
URL = f"http://{HOST}/v2"


def infer(request, model="street"):
    answer = requests.post(
        f"{URL}/models/{model}/infer", data=request.model_dump_json(), timeout=60
    )
    assert answer.status_code == 200, answer.text
    return InferenceResponse.model_validate_json(answer.text)


MetadataServerResponse.model_validate_json(requests.get(URL, timeout=60).text)
MetadataModelResponse.model_validate_json(requests.get(f"{URL}/models/street", timeout=60).text)
RepositoryIndexResponse.model_validate_json(
    requests.post(f"{URL}/repository/index", json={}, timeout=60).text
)

pixels = NumpyCodec.encode_input("image", PIXELS[np.newaxis])
response = infer(InferenceRequest(inputs=[pixels]))
np.testing.assert_array_equal(NumpyCodec.decode_output(response.outputs[0])[0], EXPECTED)

request = NumpyRequestCodec.encode_request(PIXELS[np.newaxis])
request.inputs[0].name = "image"
np.testing.assert_array_equal(NumpyRequestCodec.decode_response(infer(request))[0], EXPECTED)

file = Base64Codec.encode_input("image", [FILE])
request = InferenceRequest(inputs=[file], outputs=[{"name": "png"}, {"name": "rle"}])
png, rle = infer(request, "street.file").outputs
assert Base64Codec.decode_output(png) == [(FOLDER / "class_map.png").read_bytes()]
assert StringCodec.decode_output(rle)[0].startswith("{")
print("mlserver: the codecs agree with the native answer")
