"""Settings from the environment and from the command line."""

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from models.contract.command_line import CommandParser, UsageError
from models.contract.faults import first_fault
from service.settings import PREFIX, SettingError, Settings, flag, variable

# Kubernetes gives each container the addresses of the Services in its namespace; one named
# "segserve" makes SEGSERVE_PORT=tcp://10.0.0.7:8000 and others that nobody meant as settings.
_SERVICE_LINK = re.compile(
    r"SEGSERVE_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


# The first setting of each group of `segserve serve --help`.
_GROUPS = {
    "host": "address",
    "model_store": "models",
    "max_upload_bytes": "limits",
    "job_folder": "jobs",
    "request_timeout_seconds": "time",
    "capture_folder": "pictures that are kept",
    "api_keys_file": "access, log, traces",
}


def read_settings(arguments: Sequence[str]) -> Settings:
    """The settings of the environment with those of the command line on top.

    Raises SettingError.
    """
    parser = CommandParser("segserve serve", str(Settings.__doc__))
    add_setting_flags(parser)
    try:
        return settings_of(parser.parse_args(arguments))
    except UsageError as error:
        raise SettingError(str(error)) from None


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting, in groups."""
    group = parser.add_argument_group()
    for name, field in Settings.model_fields.items():
        if name in _GROUPS:
            group = parser.add_argument_group(_GROUPS[name])
        default = field.default
        shown = ",".join(default) if isinstance(default, tuple) else default
        said = f" (default: {shown})" if shown not in (None, "") else ""
        if name == "model_store":
            said = ""  # its description says it
        help = f"{field.description}{said} [env: {variable(name)}]".replace("%", "%%")
        if field.annotation is bool:
            action = argparse.BooleanOptionalAction
            group.add_argument(flag(name), action=action, default=None, help=help)
        else:
            group.add_argument(flag(name), metavar=_metavar(name, field), help=help)


def settings_of(given: argparse.Namespace) -> Settings:
    """The settings of the environment with the flags that were given on top.

    Raises SettingError.
    """
    said = {name: getattr(given, name) for name in Settings.model_fields}
    try:
        return Settings(**{name: value for name, value in said.items() if value is not None})
    except ValidationError as error:
        raise SettingError(_sentence(error)) from None


def _metavar(name: str, field: FieldInfo) -> str:
    """What the value is, by the setting's last word: BYTES, SECONDS, FILE; or what it can be."""
    if get_origin(field.annotation) is Literal:
        return f"{{{','.join(get_args(field.annotation))}}}"
    return name.split("_")[-1].upper()


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each SEGSERVE_* variable that is no setting: usually a typo."""
    known = {variable(field) for field in Settings.model_fields}
    strays = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name)
    )
    return [
        f"{name} is not a setting and has no effect{_suggestion(name, known)}" for name in strays
    ]


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return (
        f"; did you mean {close[0]}?" if close else "; `segserve serve --help` lists the settings"
    )


def _sentence(error: ValidationError) -> str:
    fault = first_fault(error)
    field, given = fault.place, str(fault.given)
    return f"{variable(field)} (flag {flag(field)}) is {given!r}: {fault.message}"
