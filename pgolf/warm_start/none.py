"""Weights start as arch/init draws them, and steps are all that teaches them.

Source: the public baseline. Cost: nothing. Hurts: nothing known.
"""

from __future__ import annotations

from pgolf.warm_start.base import WarmStart


class NoWarmStart(WarmStart):
    pass
