"""No average: the last step's weights are exported.

Source: the public baseline.
Cost: nothing. Hurts: the last step's weights are noisier than an average of many (0.0006 bits per byte and more).
"""

from __future__ import annotations

from pgolf.averaging.base import Averaging


class NoAveraging(Averaging):
    exported = "the last step's weights"
