"""What an examination found, as lines for a terminal and as an HTML page."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from models.data.dataset import Issue
from models.data.examination import Examination
from models.data.names import counted
from models.data.page import (
    Block,
    Cell,
    Command,
    Facts,
    Figure,
    Gallery,
    Legend,
    Remark,
    Section,
    Table,
    Text,
    write_page,
)
from models.data.repair import Repair
from models.data.tones import depth_lines, number

_SHOWN_OF_A_KIND = 5
_SHOWN_SIZES = 12
_SHOWN_DEPTHS = 1_000

Key = TypeVar("Key", bound=Hashable)


def text_report(examination: Examination, repair: Repair | None) -> str:
    """The report for a terminal."""
    dataset = examination.dataset
    splits = ", ".join(f"{len(dataset.splits[name])} {name}" for name in examination.splits)
    lines = [
        f"{dataset.folder}: {splits} (layout: {dataset.layout})",
        f"sizes   {_counted(_size_names(examination))}",
        (
            f"images  {_counted(examination.modes)}, read as "
            f"{'gray' if dataset.channels == 1 else 'RGB'}"
        ),
        f"masks   {_counted(examination.mask_modes)}",
        *(f"depth   {line}" for line in depth_lines(examination.tones)),
        "",
        *_aligned([_class_header(examination), *_class_rows(examination)]),
        "",
    ]
    if not examination.issues:
        lines.append("Nothing is wrong with these files.")
    for issues in _by_kind(examination.issues):
        lines += [f"{issue.severity}: {issue.text}" for issue in issues[:_SHOWN_OF_A_KIND]]
        hidden = len(issues) - _SHOWN_OF_A_KIND
        if hidden > 0:
            lines.append(f"{issues[0].severity}: … {hidden} more like it ({issues[0].kind})")
    if _needs_repair(examination, repair):
        lines += ["", "--fix-to NEW_FOLDER writes a clean copy with this mapping:"]
        lines += _aligned([("in the masks", "id", "class"), *_repair_rows(repair)])
    return "\n".join(lines)


def write_report(path: Path, examination: Examination, repair: Repair | None) -> None:
    """Write the HTML report."""
    dataset = examination.dataset
    lead = f"{dataset.folder.resolve()} · layout {dataset.layout} · every file read once"
    sections = [
        Section("At a glance", [_facts(examination)]),
        Section("Issues", list(_remarks(examination))),
        *_repair_section(examination, repair),
        Section("Classes", _class_blocks(examination)),
        Section("Sizes and modes", _size_blocks(examination)),
        Section("Contact sheet", _contact_sheet(examination, repair)),
    ]
    write_page(path, f"{dataset.folder.resolve().name}: check", lead, sections)


def _facts(examination: Examination) -> Facts:
    dataset = examination.dataset
    counts = [(f"{len(dataset.splits[name]):,}", name) for name in examination.splits]
    return Facts(
        [
            *counts,
            (str(len(dataset.class_list.classes)), "classes"),
            *(
                (str(count), counted(count, word).split()[1])
                for count, word in (
                    (len(examination.sizes), "size"),
                    (len(examination.errors), "error"),
                    (len(examination.warnings), "warning"),
                )
            ),
        ]
    )


def _remarks(examination: Examination) -> Iterator[Remark]:
    if not examination.issues:
        yield Remark("good", "Nothing is wrong with these files.")
    for issues in _by_kind(examination.issues):
        more = [issue.text for issue in issues[1:]]
        yield Remark(issues[0].severity, issues[0].text, more)


def _repair_section(examination: Examination, repair: Repair | None) -> Iterator[Section]:
    if not _needs_repair(examination, repair):
        return
    rows = _repair_rows(repair)
    yield Section(
        "What can be fixed",
        [
            Text(
                "This mapping was read off the masks. It is written into a new folder, never in "
                "place:"
            ),
            Command(f"segtrain check {examination.dataset.folder} --fix-to NEW_FOLDER"),
            Table(("in the masks", "id", "class"), rows),
        ],
    )


def _class_blocks(examination: Examination) -> list[Block]:
    if not examination.classes_are_known:
        return [Text("The data set does not say what its classes are.")]
    colors = [c.color for c in examination.dataset.class_list.classes]
    rows = _class_rows(examination)
    return [
        Table(_class_header(examination), rows, [*colors, *[None] * (len(rows) - len(colors))]),
        Text(
            "Share of the pixels that are not ignored, and in brackets the number of masks with "
            "the class."
        ),
    ]


def _size_blocks(examination: Examination) -> list[Block]:
    sizes = _size_names(examination).most_common()
    rows: list[tuple[Cell, ...]] = list(sizes[:_SHOWN_SIZES])
    blocks: list[Block] = [Table(("width × height", "images"), rows)]
    if len(sizes) > _SHOWN_SIZES:
        blocks.append(Text(f"… and {len(sizes) - _SHOWN_SIZES} more sizes."))
    modes = [("images", mode, n) for mode, n in examination.modes.most_common()]
    modes += [("masks", mode, n) for mode, n in examination.mask_modes.most_common()]
    return [*blocks, Table(("files", "mode", "number"), modes), *_depth_blocks(examination)]


def _depth_blocks(examination: Examination) -> list[Block]:
    """Each depth, and each picture of more than 8 bits with its values and what became of them."""
    blocks: list[Block] = [Text(f"{line}.") for line in depth_lines(examination.tones)]
    deep = [(one, one.depth) for one in examination.tones if one.depth is not None]
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.split}: {one.name}",
            depth.bits,
            f"{number(depth.low)}…{number(depth.high)}",
            f"{number(depth.window.low)}…{number(depth.window.high)}",
            depth.by,
        )
        for one, depth in deep[:_SHOWN_DEPTHS]
    ]
    if rows:
        header = ("image", "bits", "0.1 to 99.9 % of the values", "black to white", "by")
        blocks.append(Table(header, rows))
    if len(deep) > len(rows):
        blocks.append(Text(f"… and {len(deep) - len(rows)} more of more than 8 bits."))
    return blocks


def _contact_sheet(examination: Examination, repair: Repair | None) -> list[Block]:
    tiles = sorted(examination.tiles, key=lambda tile: tile.fault is None)  # faults first
    white = (
        "Masks are shown before the mapping above: white is the value 255"
        if _needs_repair(examination, repair)
        else "White is ignored"
    )
    figures = [Figure(tile.uri, tile.name, tile.fault) for tile in tiles]
    return [
        Legend(examination.dataset.class_list.classes),
        Text(f"Image, mask, and the one over the other. {white}, magenta is no class."),
        Gallery(figures),
    ]


def _class_header(examination: Examination) -> tuple[str, ...]:
    return ("class", "id", *examination.splits)


def _class_rows(examination: Examination) -> list[tuple[Cell, ...]]:
    """A row a class: share of pixels and number of masks in each split; a row for what is
    ignored."""
    if not examination.classes_are_known:
        return []
    class_list = examination.dataset.class_list
    rows: list[tuple[Cell, ...]] = [
        (c.name, c.id, *(_share(examination, split, c.id) for split in examination.splits))
        for c in class_list.classes
    ]
    ignore = class_list.ignore
    if ignore is not None and any(examination.pixels[s][ignore] for s in examination.splits):
        cells = (_share(examination, split, ignore) for split in examination.splits)
        rows.append(("ignored", ignore, *cells))
    return rows


def _share(examination: Examination, split: str, class_id: int) -> str:
    """The class's share of the pixels that have a class; of ignored ones, of all."""
    known = int(examination.class_pixels(split).sum())
    pixels = int(examination.pixels[split][class_id])
    if class_id == examination.dataset.class_list.ignore:
        known = int(examination.pixels[split].sum())
    files = int(examination.files_with[split][class_id])
    if not known:
        return "–"
    share = "<0.01%" if 0 < pixels / known < 0.0001 else f"{pixels / known:.2%}"
    return f"{share} ({files})"


def _needs_repair(examination: Examination, repair: Repair | None) -> bool:
    """Whether a mapping would fix something."""
    kinds = {issue.kind for issue in examination.errors}
    return repair is not None and bool(
        kinds & {"classes", "0/255 mask", "ids in RGB", "lossy mask", "numbered objects"}
    )


def _repair_rows(repair: Repair | None) -> list[tuple[Cell, ...]]:
    return [] if repair is None else list(repair.lines)


def _by_kind(issues: Sequence[Issue]) -> list[list[Issue]]:
    """Issues of one kind together; errors before warnings, else in the order they were found."""
    kinds: dict[str, list[Issue]] = {}
    for issue in issues:
        kinds.setdefault(issue.kind, []).append(issue)
    return sorted(kinds.values(), key=lambda same: same[0].severity != "error")


def _size_names(examination: Examination) -> Counter[str]:
    return Counter({f"{w}×{h}": count for (w, h), count in examination.sizes.items()})


def _counted(counter: Counter[str]) -> str:
    shown = [f"{key} ({count})" for key, count in counter.most_common(4)]
    return ", ".join(shown) + (f", … {len(counter)} kinds" if len(counter) > 4 else "") or "none"


def _aligned(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Rows as text in columns; the first column to the left, the others to the right."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            str(cell).ljust(width) if column == 0 else str(cell).rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
