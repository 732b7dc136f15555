"""The contract of the group: what is done to matrices around their orthogonalisation.

Shapes: K matrices of one shape, M rows (outputs), N columns.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class Normalizer:
    """An option overrides what it needs; everything stays as it is by default."""

    def new_state(self, like_KMN: Tensor) -> dict[str, Tensor]:
        """What it must remember of such a stack, at first: fp32 tensors by name, their first dimension K."""
        return {}

    def before(self, u_KMN: Tensor) -> Tensor:
        """What is orthogonalised, made of the momentum's direction."""
        return u_KMN

    def after(self, o_KMN: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """The update, made of the orthogonalised matrices; ``state`` goes on in place."""
        return o_KMN
