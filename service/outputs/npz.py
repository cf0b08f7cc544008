"""`npz`: the arrays themselves, for `numpy.load`."""

import zipfile
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.domain.segmentation import Need, Segmentation
from service.outputs.output import Encoded, Output, OutputOptions

MEDIA_TYPE = "application/x-npz"


class NpzOptions(OutputOptions):
    probabilities: bool = Field(
        default=False,
        description=(
            "Add `probabilities` (H, W, classes): every class's probability, also of those left out."
        ),
        examples=[True],
    )
    dtype: Literal["float16", "float32"] = Field(
        default="float16",
        description="Type of `probabilities`; float16 is exact to 3 digits.",
        examples=["float32"],
    )

    @property
    def need(self) -> Need:
        return "probabilities" if self.probabilities else "class_map"


def encode(segmentation: Segmentation, options: NpzOptions) -> Encoded:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        _write(archive, "class_map", segmentation.class_map, zipfile.ZIP_DEFLATED)
        if options.probabilities:
            assert segmentation.probabilities is not None  # the options say need
            # stored: deflate takes seconds to save little on floats
            _write(
                archive,
                "probabilities",
                segmentation.probabilities.astype(options.dtype),
                zipfile.ZIP_STORED,
            )
    return Encoded(file.getvalue(), MEDIA_TYPE, ".npz")


def _write(
    archive: zipfile.ZipFile, name: str, array: NDArray[np.generic], compression: int
) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = compression
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


NPZ = Output(
    name="npz",
    media_types=(MEDIA_TYPE,),
    options=NpzOptions,
    description=(
        "NumPy archive with `class_map` (H, W) uint8, and `probabilities` (H, W, classes) if asked for."
    ),
    encode=encode,
)
