"""How the pixels of a TIFF's page are stored, and the one rule by which training and serving read
them as gray or in color: the table in `docs/formats.md`.

Pillow reads the plain forms of 8 bits and fewer. It takes planes of 16 bits for one picture, gives
16 bits with white at zero as its negative and signed bytes as unsigned, all without a word; so
deeper samples and what else it has no form for are read by GDAL. What no rule brings to gray or RGB
is refused as what it is.
"""

from dataclasses import dataclass

# PhotometricInterpretation, tag 262
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
NO_PHOTOMETRIC = -1
_NAMES = {
    WHITE_IS_ZERO: "white is zero",
    BLACK_IS_ZERO: "black is zero",
    RGB: "RGB",
    PALETTE: "palette",
    4: "mask",
    CMYK: "CMYK",
    YCBCR: "YCbCr",
    8: "CIELAB",
    9: "ICCLAB",
    10: "ITULAB",
    32803: "color filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
# The samples of a pixel that are its color; those behind them are alpha, or bands of other kinds.
COLOR_SAMPLES = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, PALETTE: 1, RGB: 3, YCBCR: 3, CMYK: 4}
_GRAY = (WHITE_IS_ZERO, BLACK_IS_ZERO)
# SampleFormat, tag 339; 0 where samples have several
_UNSIGNED, _FLOAT, MIXED_FORMATS = (1, 4), 3, 0
_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex", MIXED_FORMATS: "mixed"}
_MAX_BITS = 16
_FLOAT_BITS = (16, 32, 64)
_PILLOW_BITS = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class TiffForm:
    """What a page's tags say of its pixels.

    `photometric` is how its numbers are colors, NO_PHOTOMETRIC where it does not say. `bits` are
    those of each sample of a pixel. `is_premultiplied` says that the sample behind the color is its
    alpha, and that the color was multiplied by it. `stated_bits` is how many of a sample's the file
    says are used, where it says that and they are fewer.
    """

    photometric: int
    samples: int
    bits: tuple[int, ...]
    sample_format: int
    is_planar: bool
    is_compressed: bool
    has_other_inks: bool
    is_premultiplied: bool
    stated_bits: int | None

    @property
    def is_gray(self) -> bool:
        return self.photometric in _GRAY

    @property
    def white_is_zero(self) -> bool:
        return self.photometric == WHITE_IS_ZERO

    @property
    def is_floating(self) -> bool:
        return self.sample_format == _FLOAT

    @property
    def is_small(self) -> bool:
        """Whether 8 bits hold its samples; the colors of a palette have no more."""
        return not self.is_floating and (self.bits[0] <= 8 or self.photometric == PALETTE)

    @property
    def significant_bits(self) -> int | None:
        """How many bits of a deep sample the file says are used, in a tag or by having no more."""
        own = self.bits[0] if self.bits[0] not in (8, 16) and not self.is_floating else None
        return self.stated_bits or own

    @property
    def is_for_gdal(self) -> bool:
        """Whether Pillow has no form for it, or gives other pixels without a word.

        It has gray, and RGB of 8 bits with at most alpha behind it, each pixel in one piece; and
        CMYK and YCbCr of 8 bits, but for packed chroma that nothing compresses.
        """
        bits = self.bits[0]
        if self.photometric == YCBCR:
            return not self.is_compressed
        if self.photometric == CMYK:
            return bits != 8
        if self.is_planar or self.is_floating or bits not in _PILLOW_BITS:
            return True
        if self.photometric == RGB:
            return bits != 8 or self.samples > COLOR_SAMPLES[RGB] + 1
        return self.photometric == PALETTE or self.samples > 1

    @property
    def fault(self) -> str | None:
        """What keeps it from being read as gray or in color, behind "it" or "The TIFF"."""
        bits, kind = self.bits[0], self.photometric
        if not self.is_floating and self.sample_format not in _UNSIGNED:
            return f"has {_FORMATS.get(self.sample_format, 'unknown')} pixels of {bits} bits"
        if len(set(self.bits)) > 1:
            return f"has samples of different depths ({', '.join(map(str, self.bits))} bits)"
        if self.is_floating:
            fault = self._fault_of_floats(bits)
        else:
            ends = 1 <= bits <= _MAX_BITS
            text = f"has pixels of {bits} bits a channel; at most {_MAX_BITS} are read"
            fault = None if ends else text
        if fault is not None:
            return fault
        if kind == NO_PHOTOMETRIC:
            return "does not say how its numbers are colors (it has no PhotometricInterpretation)"
        if kind not in COLOR_SAMPLES:
            return f"has pixels of the kind {_NAMES.get(kind, kind)}"
        return self._fault_of_samples(bits)

    def _fault_of_floats(self, bits: int) -> str | None:
        if bits not in _FLOAT_BITS:
            return f"has floating-point pixels of {bits} bits; those of 16, 32 and 64 are read"
        if self.photometric not in (BLACK_IS_ZERO, RGB):
            kind = _NAMES.get(self.photometric, self.photometric)
            return f"has floating-point pixels of {bits} bits of the kind {kind}"
        if self.is_premultiplied:
            return f"has floating-point pixels of {bits} bits, multiplied by their alpha"
        return None

    def _fault_of_samples(self, bits: int) -> str | None:
        name = _NAMES[self.photometric]
        if self.samples < COLOR_SAMPLES[self.photometric]:
            return f"is called {name} and has {self.samples} samples a pixel"
        if self.is_gray and self.samples > 2:
            return (
                f"has {self.samples} bands of {bits} bits that its header calls gray ({name}), not "
                "red, green and blue"
            )
        if self.photometric == CMYK and self.has_other_inks:
            return "is printed with other inks than cyan, magenta, yellow and black"
        if self.photometric == YCBCR and (bits != 8 or self.is_planar):
            return f"has YCbCr pixels of {bits} bits{' in planes' if self.is_planar else ''}"
        return None
