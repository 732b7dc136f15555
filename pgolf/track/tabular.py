"""Rows of cells as aligned lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import TextWrapper

from rich.text import Text

_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?([eE][-+]?\d+)?( ?%)?|[-+]?(nan|inf)|")


class _Wrapper(TextWrapper):
    """Words end at spaces, and behind a plus: the parts of a method are joined by it."""

    wordsep_simple_re = re.compile(r"([\t\n\x0b\x0c\r ]+)|(?<=\+)(?=\w)")


def columns(
    rows: Sequence[Sequence[object]], header: Sequence[str] | None = None, *, indent: int = 2, gap: int = 3
) -> list[Text]:
    """One line per row, columns padded to their widest cell; columns of numbers to the right.

    Cells may be ``Text`` with a style; whole numbers get their thousands marked. A header line comes first, dim.
    """
    body = [[_cell(cell) for cell in row] for row in rows]
    top = [[Text(cell, style="dim") for cell in header]] if header else []
    wide = max((len(row) for row in top + body), default=0)
    for row in top + body:
        row.extend(Text() for _ in range(wide - len(row)))
    widths = [max(row[i].cell_len for row in top + body) for i in range(wide)]
    numeric = [all(_NUMBER.fullmatch(row[i].plain) for row in body) for i in range(wide)]
    return [_join(row, widths, numeric, indent, gap) for row in top + body]


def wrapped(lines: Sequence[Text], texts: Sequence[str], width: int, *, gap: int = 3) -> list[Text]:
    """Each line with its text to the right of the longest line, wrapped to ``width`` with a hanging indent."""
    left = max((line.cell_len for line in lines), default=0) + gap
    out: list[Text] = []
    for line, text in zip(lines, texts, strict=True):
        rows = _Wrapper(max(width - left, 30), break_on_hyphens=False).wrap(text) or [""]
        first = line.copy()
        if rows[0]:
            first.append(" " * (left - line.cell_len) + rows[0])
        out += [first, *(Text(" " * left + row) for row in rows[1:])]
    return out


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))


def _join(row: Sequence[Text], widths: Sequence[int], numeric: Sequence[bool], indent: int, gap: int) -> Text:
    line = Text(" " * indent)
    for i, (cell, width, right) in enumerate(zip(row, widths, numeric, strict=True)):
        padding = " " * (width - cell.cell_len)
        line.append(" " * gap if i else "")
        line.append(padding if right else "")
        line.append_text(cell)
        line.append("" if right else padding)
    line.rstrip()
    return line
