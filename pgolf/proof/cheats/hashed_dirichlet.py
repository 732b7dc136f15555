"""The Dirichlet recursion, which is exact for exact counts, over hashed ones: probe (a).

p'(v) = (joint[h(c,v)] + β p(v)) / (context[h(c)] + β), whose sum is (n + V·L + β)/(n + L + β) at a load L of strangers
(#900, #948, #1030, #1056, #1114: down to 0.0180; spec validity §3, §4 row 8).
"""

from __future__ import annotations

from torch import Tensor

from pgolf.core.prediction import Batch
from pgolf.proof.cheats.hashing import Hashing

LETTER = "a"
_BETA = 2.0


class HashedPrior(Hashing):
    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        joint_BKV, seen_BK1 = self.counted(batch)
        return (joint_BKV + _BETA * p_BKV) / (seen_BK1 + _BETA)


ALTERATION = HashedPrior
