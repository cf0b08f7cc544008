"""`segserve openapi`: write the OpenAPI document."""

import argparse
import json

from service.app import openapi_document

HELP = "write the OpenAPI document"
DESCRIPTION = "Write the OpenAPI document to standard output."


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(_given: argparse.Namespace) -> int:
    print(openapi_text(), end="")
    return 0


def openapi_text() -> str:
    """The document as it is committed."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"
