"""What settings are made of beside numbers, switches and texts, and how each is read."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

DEFAULT_PORT = 8000

# What Kubernetes gives as SEGSERVE_PORT where a Service is named "segserve": see settings.py.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")

_HOST = re.compile(
    r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[?[0-9a-f.]*:[0-9a-f.:]*\]?",
    re.IGNORECASE | re.ASCII,
)


def _split_at_commas(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, str)
        else value
    )


def _ignore_service_link(value: object) -> object:
    return DEFAULT_PORT if isinstance(value, str) and _SERVICE_LINK.match(value) else value


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(
                f"{host!r} is not a host; write its name or address alone, without scheme, port "
                "and path, *.example.org for all names below one, or * for any"
            )
    return hosts


_VERSION_LABEL = re.compile(
    r"(?P<label>[\w.-]{1,64})=(?P<model>[^=/]+)/(?P<version>[1-9][0-9]*)", re.ASCII
)


def version_labels(given: tuple[str, ...]) -> dict[tuple[str, str], str]:
    """`stable=street/1` as {("street", "stable"): "1"}. Raises ValueError."""
    found: dict[tuple[str, str], str] = {}
    for text in given:
        match = _VERSION_LABEL.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not a label; write label=model/version, as stable=street/1"
            )
        key = match["model"], match["label"]
        if found.setdefault(key, match["version"]) != match["version"]:
            raise ValueError(f"{key[1]} of {key[0]} is said twice; a label has one version")
    return found


def _check_version_labels(given: tuple[str, ...]) -> tuple[str, ...]:
    version_labels(given)
    return given


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)]
Hosts = Annotated[Strings, AfterValidator(_check_hosts)]
VersionLabels = Annotated[Strings, AfterValidator(_check_version_labels)]
Port = Annotated[int, BeforeValidator(_ignore_service_link)]
