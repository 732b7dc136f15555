"""XSA, exclusive self-attention: remove from each head's output what points along the position's own value.

Shapes: B batch, T time, D model, H query heads, G key/value heads, R = H/G query heads per group, K head size.

``y ← y − (y·v̂)v̂`` with ``v̂ = v/max(‖v‖, 1e-12)`` of the key/value head that the query head reads, and the v
that attention consumed. Source: #265 (arXiv 2603.09078), spec arch §3.
Cost in bytes: none. Cost in step time: about 2 ms of 96 at record size; the group axis broadcasts, no copies.
When it hurts: the first token of a window gets no attention update, as it sees only itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Part
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import PositiveInt

PlaceIndex = Literal["virtual", "physical"]


class XSA(Addon):
    """On ``all`` visits with attention, on the listed ones, or on the ``last`` n (as ``XSA_LAST_N``).

    ``index`` says whether the list or the count is of visits (virtual) or of layers (physical).
    """

    beside_state_space = False
    sites = ("heads",)
    order = 10

    def __init__(
        self,
        *,
        visits: Literal["all"] | Sequence[int],
        last: PositiveInt | None,
        index: PlaceIndex,
    ) -> None:
        if last is not None and visits != "all":
            raise ConfigError("arch.addons.xsa: visits and last both choose; set last=null or visits=all, not both")
        if not visits:
            raise ConfigError("arch.addons.xsa.visits: the list is empty; leave the addon out instead")
        self.visits, self.last, self.index = visits, last, index
        self.part: ExclusiveSelfAttention | None = None

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> nn.Module | None:
        assert visit is not None
        if self.part is None:
            self.part = ExclusiveSelfAttention(self._places(model), self.index)
        chosen = [v for v in model.sharing(visit) if self.part.chosen(v)]
        return self.part if any(v.physical in model.attention_layers for v in chosen) else None

    def _places(self, model: ModelOutline) -> frozenset[int]:
        """The chosen places. Raises ConfigError where a listed one does not exist or has no attention, or none has.

        Virtual places count to the end of the longest route, whichever is active.
        """
        visits = [v for s in model.routes.values() for v in s.visits]
        attending = {place(v, self.index) for v in visits if v.physical in model.attention_layers}
        if not attending:
            raise ConfigError("arch.addons.xsa: no layer has attention")
        count = 1 + max(place(v, self.index) for v in visits)
        if self.last is not None and self.last > count:
            raise ConfigError(
                f"arch.addons.xsa.last: {self.last} is out of range; there are {count} {self.index} places"
            )
        if self.visits == "all":
            chosen = frozenset(range(count - (self.last or count), count))
            if not chosen & attending:
                raise ConfigError(
                    f"arch.addons.xsa.last: {self.last} chooses {sorted(chosen)}, where nothing attends; "
                    f"{self.index} places that have attention: {sorted(attending)}"
                )
            return chosen
        listed = {int(i) for i in self.visits}
        outside = sorted(i for i in listed if not 0 <= i < count)
        if outside:
            raise ConfigError(f"arch.addons.xsa.visits: {outside} out of range; {self.index} places are 0..{count - 1}")
        idle = sorted(listed - attending)
        if idle:
            raise ConfigError(
                f"arch.addons.xsa.visits: {idle} have no attention; {self.index} places that have: {sorted(attending)}"
            )
        return frozenset(listed)


def place(visit: Visit, index: PlaceIndex) -> int:
    return visit.virtual if index == "virtual" else visit.physical


class ExclusiveSelfAttention(Part):
    """The projection, in fp32 whatever the dtype of ``y``; acts on visits at the chosen places."""

    alone = True

    def __init__(self, places: frozenset[int], index: PlaceIndex) -> None:
        super().__init__()
        self.places, self.index = places, index

    def chosen(self, visit: Visit) -> bool:
        return place(visit, self.index) in self.places

    def forward(self, y_BTHK: Tensor, v_BTGK: Tensor, h_BTD: Tensor, context: ForwardContext) -> Tensor:
        assert context.visit is not None
        return exclude_self(y_BTHK, v_BTGK) if self.chosen(context.visit) else y_BTHK


def exclude_self(y_BTHK: Tensor, v_BTGK: Tensor) -> Tensor:
    """``y`` without its component along ``v`` of the same position and group."""
    y_BTGRK = y_BTHK.float().unflatten(2, (v_BTGK.size(2), -1))
    v_BTG1K = F.normalize(v_BTGK.float(), dim=-1, eps=1e-12).unsqueeze(3)
    along_BTGR1 = (y_BTGRK * v_BTG1K).sum(-1, keepdim=True)
    return (y_BTGRK - along_BTGR1 * v_BTG1K).flatten(2, 3).to(y_BTHK.dtype)
