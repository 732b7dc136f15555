"""A syntax tree as a short text that means the same: few blanks, few lines, one blank an indent."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

_WORDLIKE = (tokenize.NAME, tokenize.NUMBER)
_FSTRING_START = getattr(tokenize, "FSTRING_START", -1)  # Python 3.12 and later: an f-string is many tokens
_FSTRING_END = getattr(tokenize, "FSTRING_END", -1)
_BREAKS = (tokenize.NEWLINE, tokenize.NL)
_SILENT = (tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER)


def minified(tree: ast.Module) -> str:
    """The text of ``tree``."""
    return without_blanks(ast.unparse(tree))


def without_blanks(text: str) -> str:
    """``text`` without blanks between tokens that can stand together, and with as few lines as can be.

    Simple statements of one block share a line; a block that is one such line stands behind its colon.
    """
    lines: list[_Line] = []
    for line in _lines(text):
        last = lines[-1] if lines else None
        if last and line.depth == last.depth and line.simple and last.simple:
            last.text += f";{line.text}"
        else:
            _join_block(lines, line.depth)
            lines.append(line)
    _join_block(lines, 0)
    return "\n".join(" " * line.depth + line.text for line in lines)


def _join_block(lines: list[_Line], depth: int) -> None:
    """Put the last line behind the colon before it, if it is all of its block and the block ends here."""
    if len(lines) > 1 and depth < lines[-1].depth and lines[-1].simple:
        header, body = lines[-2:]
        if header.depth == body.depth - 1 and header.text.endswith(":") and not header.joined:
            header.text, header.joined = header.text + body.text, True
            lines.pop()


@dataclass(slots=True)
class _Line:
    """A logical line. ``simple``: one simple statement or several; ``joined``: a block on its header's line."""

    depth: int
    text: str
    simple: bool
    joined: bool = False


def _lines(text: str) -> Iterator[_Line]:
    parts: list[str] = []
    depth, first, last = 0, "", tokenize.OP
    for kind, string in _tokens(text):
        depth += (kind == tokenize.INDENT) - (kind == tokenize.DEDENT)
        if kind in _SILENT:
            continue
        if kind in _BREAKS:
            if parts:
                yield _Line(depth, "".join(parts), simple=parts[-1] != ":" and first != "@")
            parts = []
            continue
        if not parts:
            first = string
        elif _must_part(last, kind, string):
            parts.append(" ")
        parts.append(string)
        last = kind


def _must_part(last: int, kind: int, string: str) -> bool:
    """Would the two tokens run together without a blank?"""
    if last in _WORDLIKE and (kind in _WORDLIKE or (kind == tokenize.STRING and string[0].isalpha())):
        return True
    return (last == tokenize.NUMBER and string[0] == ".") or (last == tokenize.STRING and kind in _WORDLIKE)


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """(kind, text) of each token; an f-string counts as one string, as it stands."""
    lines = text.splitlines(keepends=True)
    nested, start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == _FSTRING_START:
            start = start if nested else token.start
            nested += 1
        elif token.type == _FSTRING_END:
            nested -= 1
            if not nested:
                yield tokenize.STRING, _between(lines, start, token.end)
        elif not nested:
            yield token.type, token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])
