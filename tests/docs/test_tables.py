"""The docs list what the service's tables hold."""

import re
from pathlib import Path

import pytest

from service.inputs import readable_types
from tests.docs.tables import formats_table, inputs_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "table"), [("formats", formats_table()), ("inputs", inputs_table())]
)
def test_the_tables_of_the_formats_page_are_the_service_s_own(name: str, table: str) -> None:
    page = (ROOT / "docs/formats.md").read_text()
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", page, re.DOTALL)
    assert found == table


def test_the_readme_names_every_type_that_is_read() -> None:
    assert f"{readable_types('and')} are read" in (ROOT / "README.md").read_text()
