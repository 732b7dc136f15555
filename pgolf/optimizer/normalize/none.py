"""Take the orthogonalised matrices as they are.

Formula: O = NS(U). Source: Muon (Jordan), the baseline and most records. Cost in bytes: none. Cost in step time: none.
When it hurts: rows with large gradients take part of the update from the others (see ``rows``).
"""

from __future__ import annotations

from pgolf.optimizer.normalize.base import Normalizer


class NoNormalizer(Normalizer):
    """``optimizer/normalize=none``."""

    def __init__(self) -> None:
        pass
