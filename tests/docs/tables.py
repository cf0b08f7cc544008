"""The tables of the docs that are made from the service's own."""

from service.inputs import INPUTS
from service.outputs import ANSWERS


def formats_table() -> str:
    rows = ["| format | media type | what it is |", "|---|---|---|"]
    for output in ANSWERS.values():
        media_types = ", ".join(f"`{media_type}`" for media_type in output.media_types)
        rows.append(f"| `{output.name}` | {media_types} | {output.description} |")
    return "\n".join(rows)


def inputs_table() -> str:
    rows = ["| type | media type | names end in |", "|---|---|---|"]
    for row in INPUTS.values():
        media_types = ", ".join(f"`{media_type}`" for media_type in row.media_types)
        rows.append(f"| {row.name} | {media_types} | {', '.join(row.suffixes)} |")
    return "\n".join(rows)
