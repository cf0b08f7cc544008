"""`segserve openapi`: write the OpenAPI document."""

import argparse
import json
from collections.abc import Sequence

from service.app import openapi_document

HELP = "write the OpenAPI document"


def run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "segserve openapi",
        description="Write the OpenAPI document to standard output.",
        allow_abbrev=False,
    )
    parser.parse_args(arguments)
    print(openapi_text(), end="")
    return 0


def openapi_text() -> str:
    """The document as it is committed."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"
