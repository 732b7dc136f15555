"""A window plan that leaves out the windows it would have to clip, so the stream's tail is never scored: probe (e)."""

from __future__ import annotations

import dataclasses

from pgolf.eval.evaluation import Evaluation
from pgolf.eval.windows import Window, WindowPlan

LETTER = "e"


class WholeWindowsOnly:
    def __init__(self, method: WindowPlan) -> None:
        self.method = method
        self.name, self.window, self.stride = method.name, method.window, method.stride
        self.chunk_tokens, self.batch_windows = method.chunk_tokens, method.batch_windows
        self.official_truncation = method.official_truncation

    def plan(self, first: int, last: int) -> list[Window]:
        whole = last // self.window * self.window
        return [window for window in self.method.plan(first, last) if window.stop <= whole]


def apply(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, method=WholeWindowsOnly(evaluation.method))
