"""The numbers of one score are one code length in several units: whoever edits one of them leaves the others behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pgolf.eval.metric import bits_per_byte

_TOO_LARGE = 2**63
_ROUNDED = 1e-9  # relative; what a result keeps has all its digits


def disagreement(score: Mapping[str, Any]) -> str:
    """How the numbers of a score contradict each other; empty where they do not, or one that is needed is missing.

    ``val_bpb`` is ``val_loss`` over ``tokens`` spread on ``bytes``, and ``claimed_bpb`` with ``side_bits``. Those two
    may be missing, as they are in a submission.
    """
    loss, bpb, tokens, count = (_number(score.get(name)) for name in ("val_loss", "val_bpb", "tokens", "bytes"))
    if loss is None or bpb is None or not tokens or not count:
        return ""
    try:
        found = bits_per_byte(np.array([loss * tokens]), np.array([int(count)]))
    except (OverflowError, ValueError) as error:
        return str(error)
    if not math.isclose(bpb, found, rel_tol=_ROUNDED):
        text = f"{tokens:,.0f} tokens and {count:,.0f} bytes"
        return f"val_loss {loss:.9g} over {text} is {found:.9g} bits per byte, not {bpb:.9g}"
    claimed, side_bits = _number(score.get("claimed_bpb")), _number(score.get("side_bits"))
    if claimed is None or side_bits is None:
        return ""
    if side_bits < 0 or not math.isclose(bpb, claimed + side_bits / count, rel_tol=_ROUNDED):
        return (
            f"claimed_bpb {claimed:.9g} with {side_bits:g} side_bits over {count:,.0f} bytes is not val_bpb {bpb:.9g}"
        )
    return ""


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
    return float(value) if good else None
