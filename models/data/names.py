"""What the name of a class says: that it is background, or that it is void; and numbers with their
words."""

import unicodedata

# Zero-width space and joiner of words, byte order mark, soft hyphen, marks of writing direction.
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad\u200e\u200f"))
_LONGEST_TEXT = 2000
_VOID = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled"})


def counted(number: int, word: str) -> str:
    """The number with the word, which takes an s: 1 image, 2 images."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def shortened(text: str) -> str:
    """A sentence without the middle of what it quotes from a file, where that is pages long."""
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[: _LONGEST_TEXT // 2]} … {text[-_LONGEST_TEXT // 2 :]}"


def tidy(name: str) -> str:
    """The name in one of Unicode's forms, without blanks around it and with single ones in it, and
    without characters that nobody sees."""
    return " ".join(unicodedata.normalize("NFC", name).translate(_UNSEEN).split())


def stated_name(value: object) -> str:
    """The name that an entry of an annotation file states. Raises TypeError and ValueError where it
    is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"its name {value!r} is not a text")
    if not (name := tidy(str(value))):
        raise ValueError("its name is empty")
    return name


def is_void(name: str) -> bool:
    """Whether pixels of this class teach nothing: void, ignore(d) or unlabel(l)ed, with or without
    underscores around; or QuPath's Ignore*."""
    return _bare(name).removesuffix("*") in _VOID


def is_background(name: str) -> bool:
    """Whether the class is called background, with or without underscores around."""
    return _bare(name) == "background"


def _bare(name: str) -> str:
    return tidy(name).casefold().strip("_")
