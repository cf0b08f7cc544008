"""Recipe fields of release 0.1 under their new names. Remove in release 0.3, with its flags and
tests."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)

RENAMED = {
    "average": "ema_decay",
    "score_every": "eval_every",
    "network.initialise_from": "network.initialize_from",
    "augmentation.quarter_turns": "augmentation.rot90",
    "augmentation.outside": "augmentation.fill_mode",
    "optimizer.encoder_rate": "optimizer.encoder_lr_multiplier",
    "optimizer.warm_up_steps": "optimizer.warmup_steps",
}
# By the field's new name: what its values were called.
RENAMED_VALUES = {"augmentation.fill_mode": {"mirror": "reflect", "void": "ignore"}}


def with_new_names(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A recipe's tables with every field by its new name, and one line of warning where a name or
    value is an old one.

    `source` says in the warning where it was read. Raises ValueError where a field goes by both
    names.
    """
    old: list[str] = []
    renamed = _renamed(document, "", old)
    if old:
        _warn_once(
            f"{source}: {', '.join(old)}; the old names are read until release 0.3, so write the "
            "new ones"
        )
    return renamed


def _renamed(table: Mapping[str, Any], prefix: str, old: list[str]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        field = RENAMED.get(prefix + key, prefix + key)
        name = field.removeprefix(prefix)
        if name != key:
            if name in table:
                raise ValueError(f"{prefix}{key} is the old name of {field}; leave it out")
            old.append(f"{prefix}{key} is now {field}")
        values = RENAMED_VALUES.get(field, {})
        if isinstance(value, Mapping):
            value = _renamed(value, f"{field}.", old)
        elif isinstance(value, str) and value in values:
            old.append(f"{field} {value!r} is now {values[value]!r}")
            value = values[value]
        renamed[name] = value
    return renamed


@cache
def _warn_once(text: str) -> None:
    """A command may read a recipe several times."""
    logger.warning("%s", text)
