"""Forms that are no code length: what they claim, what their rows sum to, and what is left once they sum to one."""

from __future__ import annotations

from pgolf.report.entry import SUM_TOLERANCE
from pgolf.report.html.claims import Claim, claims_section
from pgolf.report.html.parts import Section
from pgolf.report.html.subject import SetPage

PLACE = 80


def section(page: SetPage) -> Section | None:
    return claims_section(
        [
            Claim(page.run_label(one, run), run.val_bpb, run.sum_p_mean, run.sum_p_max, run.renormalised_bpb)
            for one in page.experiments
            for run in one.runs
            if (run.sum_p_max or 0.0) > 1 + SUM_TOLERANCE and run.val_bpb
        ]
    )
