"""Numbers as people read them."""

from __future__ import annotations

from typing import Any


def count(number: float) -> str:
    """``1234567`` as ``1,234,567``."""
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """``3.2 s``, ``61 s``, ``5 min 2 s``, ``1 h 3 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def rate(per_second: float, unit: str) -> str:
    """``21,400 tokens/s``; slow things keep a digit: ``3.1 steps/s``."""
    return f"{per_second:,.0f} {unit}/s" if per_second >= 100 else f"{per_second:.1f} {unit}/s"


def fact(name: str, value: Any) -> str:
    """One named number of a progress line: ``loss 3.2145``, ``21,400 tokens/s``."""
    if name.endswith("_per_second") and isinstance(value, int | float):
        return rate(value, name.removesuffix("_per_second").replace("_", " "))
    words = name.replace("_", " ")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{words} {value}"
    return f"{words} {value:,}" if isinstance(value, int) else f"{words} {short(value)}"


def short(value: float, decimals: int = 4) -> str:
    """Four ``decimals`` for the size of a loss, otherwise four digits."""
    return f"{value:.{decimals}f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.{decimals}g}"


def percent(fraction: float) -> str:
    """``23 %``; never 100 before the end."""
    return f"{int(100 * min(max(fraction, 0.0), 1.0))} %"
