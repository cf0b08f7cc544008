"""What the name of a class says: that it is background, or that it is void; and numbers with their
words."""

_VOID = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled"})


def counted(number: int, word: str) -> str:
    """The number with the word, which takes an s: 1 image, 2 images."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def tidy(name: str) -> str:
    """The name without blanks around it, and with single ones in it."""
    return " ".join(name.split())


def is_void(name: str) -> bool:
    """Whether pixels of this class teach nothing: void, ignore(d) or unlabel(l)ed, with or without
    underscores around."""
    return _bare(name) in _VOID


def is_background(name: str) -> bool:
    """Whether the class is called background, with or without underscores around."""
    return _bare(name) == "background"


def _bare(name: str) -> str:
    return tidy(name).casefold().strip("_")
