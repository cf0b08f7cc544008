"""Which media type a caller wants most (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.protocols.problems import NotAcceptableError

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*(.*)", re.DOTALL)
_QUALITY = re.compile(r"[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*")


@dataclass(frozen=True)
class MediaRange:
    """`image/*;q=0.5`. Parameters other than q choose nothing: no two of our types differ in
    them.
    """

    type: str
    subtype: str
    quality: float

    @property
    def specificity(self) -> int:
        return (self.type != "*") + (self.subtype != "*")

    def matches(self, media_type: str) -> bool:
        type_, _, subtype = media_type.partition(";")[0].partition("/")
        return self.type in ("*", type_) and self.subtype in ("*", subtype)


def parse_accept(header: str) -> list[MediaRange]:
    """The ranges of an Accept header. What is no range is passed over, as RFC 9110 leaves open."""
    return [
        media_range for item in header.split(",") if (media_range := _parse_range(item)) is not None
    ]


def _parse_range(item: str) -> MediaRange | None:
    match = _RANGE.fullmatch(item)
    if match is None or (match[1] == "*" and match[2] != "*"):
        return None
    quality = 1.0
    for parameter in match[3].split(";"):
        if parameter.strip()[:1] in ("q", "Q"):
            value = _QUALITY.fullmatch(parameter.strip())
            if value is None:
                return None
            quality = float(value[1])
    return MediaRange(match[1].lower(), match[2].lower(), quality)


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered media type the caller wants most; the first where it has no wish; None where it
    wants none.

    Of types wanted equally, one named outright goes before one that a wildcard lets in, then our
    own order counts.
    """
    ranges = parse_accept(accept) if accept else []
    if not ranges:
        return offered[0]
    ranked = [
        (*_preference(ranges, media_type), -place) for place, media_type in enumerate(offered)
    ]
    quality, _, negative_place = max(ranked)
    return offered[-negative_place] if quality > 0 else None


def _preference(ranges: Iterable[MediaRange], media_type: str) -> tuple[float, int]:
    """Quality and specificity of the most specific range that matches `media_type`."""
    matching = [media_range for media_range in ranges if media_range.matches(media_type)]
    if not matching:
        return 0.0, 0
    nearest = max(matching, key=lambda media_range: media_range.specificity)
    return nearest.quality, nearest.specificity


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """As `preferred`. Raises NotAcceptableError, which lists what there is."""
    media_type = preferred(accept, offered)
    if media_type is None:
        there_is = ", ".join(dict.fromkeys(offered))
        raise NotAcceptableError(
            f"Accept: {accept} leaves nothing that this route can answer with: {there_is}."
        )
    return media_type
