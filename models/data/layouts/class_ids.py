"""From the names of categories and labels to class ids."""

from collections.abc import Collection, Iterable

from models.data.dataset import ClassList, DatasetError
from models.data.names import is_background, is_void, tidy
from models.data.options import Unlabelled


def distinct(names: Iterable[str], place: str) -> list[str]:
    """The names in their order, each once; blanks make no difference.

    Raises DatasetError where two differ in case alone: they may be one class or two.
    """
    found: dict[str, str] = {}
    for name in map(tidy, names):
        other = found.setdefault(name.casefold(), name)
        if other != name:
            raise DatasetError(
                f"{place}: the names {other!r} and {name!r} differ in case alone; write one name, "
                "or list in classes.json one of them (both are that class then) or both (they are "
                "two then)"
            )
    return list(found.values())


class ClassIds:
    """The ids of a class list by name: as the list spells it, else whatever the case and blanks
    where that leaves one.

    `rest` is the class of pixels that no region covers: the one called background, else the first;
    None where the first is itself one of the `drawn` names, so that what is not drawn may be it or
    nothing. With `unlabelled` "ignore" it is what the list ignores; DatasetError where that is
    nothing.
    """

    def __init__(
        self,
        class_list: ClassList,
        drawn: Collection[str],
        unlabelled: Unlabelled = "background",
    ) -> None:
        self._exact = {c.name: c.id for c in class_list.classes}
        self._folded: dict[str, int | None] = {}
        for name, class_id in self._exact.items():
            self._folded[_key(name)] = None if _key(name) in self._folded else class_id
        self._ignore = class_list.ignore
        self._background = class_list.background
        first_is_drawn = _key(class_list.classes[0].name) in map(_key, drawn)
        self.rest = class_list.background
        if unlabelled == "ignore":
            self.rest = class_list.ignore
            if self.rest is None:
                raise DatasetError(
                    f"what no region covers is to be ignored, and the class list of "
                    f"{class_list.name} ignores nothing; set its ignore to a value that is no "
                    "class, such as 255"
                )
        elif self.rest is None and not first_is_drawn:
            self.rest = self._background = 0

    def id_of(self, name: str) -> int | None:
        """The id that a name is drawn with, that of `ignore` for void; None where the list has no
        such class.

        Raises DatasetError where the name is void or background and the list has no such thing.
        """
        class_id = self._exact.get(name, self._folded.get(_key(name)))
        if class_id is not None:
            return class_id
        if is_background(name):
            if self._background is None:
                raise DatasetError(
                    f"{name!r} is drawn and classes.json has no background; put one first in it"
                )
            return self._background
        if is_void(name) and self._ignore is None:
            raise DatasetError(
                f"{name!r} is void, and classes.json ignores nothing; set its ignore to a value "
                "that is no class, such as 255"
            )
        return self._ignore if is_void(name) else None


def _key(name: str) -> str:
    return tidy(name).casefold()
