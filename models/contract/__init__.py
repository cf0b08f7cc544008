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
    write_contract,
)
from models.contract.errors import UserError
from models.contract.preprocessing import (
    FrameScale,
    Intensity,
    NativeScale,
    PercentileIntensity,
    PhysicalScale,
    Scale,
    WindowIntensity,
)
from models.contract.versions import Versions, find_versions, versions

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
    "FrameScale",
    "Intensity",
    "Name",
    "NativeScale",
    "PercentileIntensity",
    "PhysicalScale",
    "Quantization",
    "Scale",
    "SegmentationClass",
    "StoredPrecision",
    "Training",
    "UserError",
    "Versions",
    "WindowIntensity",
    "file_digests",
    "find_versions",
    "openvino_path",
    "read_contract",
    "verify_files",
    "versions",
    "write_contract",
]
