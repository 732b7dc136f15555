"""Text that may come from anywhere, as a page can show it: what moves, hides or reverses other text is spelt out."""

from __future__ import annotations

_KEPT = "\n\t"


def printable(text: str) -> str:
    """Control characters, marks of direction and bytes that were no UTF-8 as ``\\x1b``; all else as it is."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in _KEPT or letter == "\u00a0" else _spelt(letter) for letter in text
    )


def _spelt(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
