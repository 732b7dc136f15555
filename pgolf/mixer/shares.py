"""What mixers of the network's row and the experts' share; no option.

Shapes: E rows, the network's first; V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from pgolf.core.errors import ConfigError


@register_jitable
def blend(share, rows_EV, row_V):
    """The mixture in which all experts together have ``share``, each the same."""
    experts = len(rows_EV) - 1
    weight = np.float32(1.0 - share)
    for v in range(len(row_V)):
        row_V[v] = weight * rows_EV[0, v]
    weight = np.float32(share / experts)
    for e in range(1, experts + 1):
        for v in range(len(row_V)):
            row_V[v] += weight * rows_EV[e, v]


@register_jitable
def blended(share, p_E):
    """One entry of that mixture, to the bit."""
    experts = len(p_E) - 1
    p = np.float32(1.0 - share) * p_E[0]
    weight = np.float32(share / experts)
    for e in range(1, experts + 1):
        p += weight * p_E[e]
    return p


def weight_names(experts: int) -> tuple[str, ...]:
    """Of what a mixer tells that it weighs by, the network's first."""
    return ("weight_network", *(f"weight_{e}" for e in range(1, experts + 1)))


def need_experts(name: str, experts: int) -> None:
    """Raise ConfigError where there is no expert for the mixer ``name`` to mix."""
    if not experts:
        raise ConfigError(f"mixer: {name} has nothing to mix with the network's row; choose an ngram, or mixer=none")
