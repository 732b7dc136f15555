"""Which of the run's scores are no code length: claimed, sums of rows, renormalised."""

from __future__ import annotations

from pgolf.report.entry import SUM_TOLERANCE
from pgolf.report.html.claims import Claim, claims_section
from pgolf.report.html.parts import Section
from pgolf.report.html.subject import RunPage
from pgolf.track.result import SCORE_NAMES

PLACE = 12
_NUMBERS = ("claimed_bpb", "sum_p_mean", "sum_p_max", "renormalised_bpb")


def section(page: RunPage) -> Section | None:
    if page.result is None:
        return None
    fields, found = page.fields, []
    for name in SCORE_NAMES:
        if fields.mapping(f"scores.{name}") is None:
            continue
        claimed, mean, most, left = (fields.number(f"scores.{name}.{key}") for key in _NUMBERS)
        if claimed and (most or 0.0) > 1 + SUM_TOLERANCE:
            found.append(Claim(f"{name}, {fields.text(f'scores.{name}.method')}", claimed, mean, most, left))
    return claims_section(found)
