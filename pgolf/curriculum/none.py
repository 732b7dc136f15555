"""Batches of one size and windows of one length, all through the run.

Source: the public baseline and its records. Cost: nothing. Hurts: nothing known.
"""

from __future__ import annotations

from pgolf.curriculum.base import Curriculum


class NoCurriculum(Curriculum):
    neutral = True
