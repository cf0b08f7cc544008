"""TensorFlow Serving over gRPC: tensorflow.serving.PredictionService and ModelService."""

from typing import Any, Final

import grpc

from service.protocols.model_names import Served, find, states_of
from service.protocols.pictures import Pixels, infer
from service.protocols.problems import MalformedRequestError
from service.protocols.rpc.calls import Call, Calls, codec_of
from service.protocols.tfserving import signatures
from service.protocols.tfserving.labels import version_of
from service.protocols.tfserving.request import DEFAULT_SIGNATURE
from service.protocols.tfserving.response import status
from service.protocols.tfserving.rpc.messages import DTYPES, SERVING, STATES
from service.protocols.tfserving.rpc.tensors import read_pictures, shape_proto, write_result

PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"
_SIGNATURES: Final = "signature_def"
_MAP_TYPE: Final = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
_UNKNOWN_CODE: Final = 2


async def predict(call: Call, message: Any) -> Any:
    with call.holding(message):
        served = _find(call, message.model_spec)
        if len(message.inputs) != 1:
            names = ", ".join(sorted(message.inputs))[:80] or "none"
            raise MalformedRequestError(
                f"The request has {len(message.inputs)} inputs ({names}); it takes one, image."
            )
        signature = message.model_spec.signature_name or DEFAULT_SIGNATURE
        asked = signatures.asked_by(signature)
        output = signatures.output_name(asked.result)
        if stray := set(message.output_filter) - {output}:
            raise MalformedRequestError(
                f"There is no output {min(stray)[:40]!r}; {signature} has {output}. Other outputs "
                "are signatures of their own."
            )
        most = call.parts.max_batch_request_images
        pictures = read_pictures(next(iter(message.inputs.values())), served, most)
        inferred = await infer(call.parts, served.selector, pictures, [asked], call.deadline)
        call.answered(inferred)
        single = isinstance(pictures, Pixels) and pictures.single
        tensor = write_result(asked.result, inferred, single=single)
        version = int(inferred.model_id.rpartition("/")[2])
        spec = _spec(served.name, version, signature)
        return SERVING["PredictResponse"](outputs={output: tensor}, model_spec=spec)


async def model_metadata(call: Call, message: Any) -> Any:
    served = _find(call, message.model_spec)
    if list(message.metadata_field) != [_SIGNATURES]:
        raise MalformedRequestError(f"metadata_field takes [{_SIGNATURES!r}], and nothing else.")
    document = signatures.metadata(served)["metadata"][_SIGNATURES][_SIGNATURES]
    known = SERVING["SignatureDefMap"](
        signature_def={name: _signature(one) for name, one in document.items()}
    )
    found = SERVING["Any"](type_url=_MAP_TYPE, value=known.SerializeToString())
    return SERVING["GetModelMetadataResponse"](
        model_spec=_spec(served.name, int(served.version)), metadata={_SIGNATURES: found}
    )


async def model_status(call: Call, message: Any) -> Any:
    spec = message.model_spec
    wanted = _version(call, spec)
    states = [one for one in states_of(call.parts, spec.name) if wanted in (None, str(one.version))]
    if not states:
        find(call.parts, spec.name, wanted)  # says what there is
    versions = [
        {
            "version": int(one["version"]),
            "state": STATES[one["state"]],
            "status": {
                "error_code": 0 if one["status"]["error_code"] == "OK" else _UNKNOWN_CODE,
                "error_message": one["status"]["error_message"],
            },
        }
        for one in status(spec.name, states)["model_version_status"]
    ]
    return SERVING["GetModelStatusResponse"](model_version_status=versions)


def _find(call: Call, spec: Any) -> Served:
    return find(call.parts, spec.name, _version(call, spec))


def _version(call: Call, spec: Any) -> str | None:
    if spec.version_label:
        return version_of(call.parts, spec.name, spec.version_label)
    return str(spec.version.value) if spec.HasField("version") else None


def _spec(name: str, version: int, signature: str = "") -> dict[str, Any]:
    return {"name": name, "version": {"value": version}, "signature_name": signature}


def _signature(document: dict[str, Any]) -> Any:
    def tensors(side: str) -> dict[str, Any]:
        return {
            name: SERVING["TensorInfo"](
                name=one["name"],
                dtype=DTYPES[one["dtype"]],
                tensor_shape=shape_proto(
                    tuple(int(dim["size"]) for dim in one["tensor_shape"]["dim"])
                ),
            )
            for name, one in document[side].items()
        }

    return SERVING["SignatureDef"](
        inputs=tensors("inputs"),
        outputs=tensors("outputs"),
        method_name=document["method_name"],
    )


_CALLS: Final = {
    PREDICTION_SERVICE: {"Predict": predict, "GetModelMetadata": model_metadata},
    MODEL_SERVICE: {"GetModelStatus": model_status},
}


def handlers(calls: Calls) -> list[Any]:
    """What a grpc.aio server answers with."""
    return [
        grpc.method_handlers_generic_handler(
            service,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    calls.unary(f"/{service}/{name}", handler),
                    **codec_of(SERVING, f"{name}Request", f"{name}Response"),
                )
                for name, handler in of_service.items()
            },
        )
        for service, of_service in _CALLS.items()
    ]
