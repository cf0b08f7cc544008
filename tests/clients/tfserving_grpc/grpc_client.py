"""TensorFlow Serving's own gRPC client, as resnet_client_grpc.py has it: only host, model and names
of tensors are others.
"""

import sys
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
PIXELS = np.array(Image.open(FOLDER / "image.png").convert("RGB"))
FILE = (FOLDER / "image.png").read_bytes()
EXPECTED = np.load(FOLDER / "class_map.npy")


def request_for(tensor, signature="serving_default", model="street"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.inputs["image"].CopyFrom(tensor)
    return request


unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
channel = grpc.insecure_channel(HOST, unlimited)
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

for tensor in (tf.make_tensor_proto(FILE, shape=[1]), tf.make_tensor_proto(PIXELS[np.newaxis])):
    result = stub.Predict(request_for(tensor), 60.0)
    np.testing.assert_array_equal(tf.make_ndarray(result.outputs["class_map"])[0], EXPECTED)
    assert (result.model_spec.name, result.model_spec.version.value) == ("street", 1)
two = tf.make_tensor_proto([FILE, FILE])
result = stub.Predict(request_for(two, "png"), 60.0)
masks = tf.make_ndarray(result.outputs["png_bytes"])
assert list(masks) == [(FOLDER / "class_map.png").read_bytes()] * 2
small = tf.make_tensor_proto(PIXELS[:32, :48])
result = stub.Predict(request_for(small, "probabilities"), 60.0)
assert tf.make_ndarray(result.outputs["probabilities"]).shape[:2] == (32, 48)

asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
asked.model_spec.name = "street"
signatures = get_model_metadata_pb2.SignatureDefMap()
stub.GetModelMetadata(asked, 60.0).metadata["signature_def"].Unpack(signatures)
signature = signatures.signature_def["serving_default"]
assert signature.inputs["image"].dtype == tf.uint8.as_datatype_enum
assert [dim.size for dim in signature.inputs["image"].tensor_shape.dim] == [-1, -1, -1, 3]

asked = get_model_status_pb2.GetModelStatusRequest()
asked.model_spec.name = "street"
states = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(asked, 60.0)
available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
assert [one.state for one in states.model_version_status] == [available]


def code_of(request):
    try:
        stub.Predict(request, 60.0)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


floats = tf.make_tensor_proto(PIXELS.astype(np.float32))
assert code_of(request_for(floats)) == grpc.StatusCode.INVALID_ARGUMENT
assert code_of(request_for(two, model="nobody")) == grpc.StatusCode.NOT_FOUND
print("tfserving: gRPC agrees with the native answer")
