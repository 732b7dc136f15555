"""No adaptation: the network's weights stay as the artifact has them (track A).

Formula: none. Source: the rule of spec validity §2, fixed predictor. Bytes: none. Time: none.
Hurts: nothing is learnt from the text being scored.
"""

from __future__ import annotations

from typing import ClassVar

from pgolf.core.prediction import Facts, Network, Stage


class NoAdaptation:
    neutral: ClassVar[bool] = True
    untie: ClassVar[bool] = False

    def wrap(self, network: Network, facts: Facts) -> Network:
        """``network`` itself."""
        return network

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """No expert."""
        return ()
