"""`npz`: the arrays themselves, for `numpy.load`."""

import zipfile
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.domain.classes import bands
from service.domain.segmentation import Need, Segmentation
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.outputs.pieces import Pieces


class NpzOptions(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"

    probabilities: bool = Field(
        default=False,
        description=(
            "Add `probabilities` (H, W, classes): every class's probability, also of those left "
            "out."
        ),
        examples=[True],
    )
    dtype: Literal["float16", "float32"] = Field(
        default="float16",
        description="Type of `probabilities`; float16 is exact to 3 digits.",
        examples=["float32"],
    )

    @property
    def format_need(self) -> Need:
        return "probabilities" if self.probabilities else "class_map"


def encode(segmentation: Segmentation, options: NpzOptions) -> Iterator[bytes]:
    file = Pieces()
    with zipfile.ZipFile(file, "w") as archive:
        _write(archive, "class_map", segmentation.class_map, "uint8", zipfile.ZIP_DEFLATED)
        if options.probabilities:
            assert segmentation.probabilities is not None  # the options say need
            # stored: deflate takes seconds to save little on floats
            _write(
                archive,
                "probabilities",
                segmentation.probabilities,
                options.dtype,
                zipfile.ZIP_STORED,
            )
    return file.take()


def _write(
    archive: zipfile.ZipFile, name: str, array: NDArray[np.generic], dtype: str, compression: int
) -> None:
    """Write an array (H, W, …), converted to `dtype` band by band."""
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = compression
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": array.shape,
    }
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in bands(array.shape[0], array[0].size):
            file.write(np.ascontiguousarray(array[rows], dtype).tobytes())


NPZ = Output(
    name="npz",
    title="NumPy",
    extensions={"application/x-npz": ".npz"},
    options=NpzOptions,
    description=(
        "NumPy archive with `class_map` (H, W) uint8, and `probabilities` (H, W, classes) if asked "
        "for."
    ),
    encode=encode,
)
