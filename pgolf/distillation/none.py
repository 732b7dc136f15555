"""No teacher: the run's model learns from the text alone.

Source: the public baseline. Cost: nothing. Hurts: nothing known.
"""

from __future__ import annotations

from pgolf.distillation.base import Distillation


class NoDistillation(Distillation):
    pass
