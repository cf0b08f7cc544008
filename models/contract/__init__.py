"""What both halves share: the contract of an artefact, and the small tools that each of them needs.

This package is all that the service imports from `models`; it needs pydantic and the standard library only.
"""

from models.contract.contract import (
    CONTRACT_PATH,
    FORMAT_VERSION,
    MODEL_CARD_PATH,
    OPENVINO_OUTPUTS,
    OPENVINO_PATH,
    RECIPE_PATH,
    STORED_PRECISIONS,
    ClassId,
    Color,
    Contract,
    ContractError,
    Name,
    Quantization,
    SegmentationClass,
    StoredPrecision,
    Training,
    file_digests,
    openvino_path,
    read_contract,
    verify_files,
    versions,
    write_contract,
)

__all__ = [
    "CONTRACT_PATH",
    "FORMAT_VERSION",
    "MODEL_CARD_PATH",
    "OPENVINO_OUTPUTS",
    "OPENVINO_PATH",
    "RECIPE_PATH",
    "STORED_PRECISIONS",
    "ClassId",
    "Color",
    "Contract",
    "ContractError",
    "Name",
    "Quantization",
    "SegmentationClass",
    "StoredPrecision",
    "Training",
    "file_digests",
    "openvino_path",
    "read_contract",
    "verify_files",
    "versions",
    "write_contract",
]
