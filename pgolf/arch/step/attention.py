"""Attention fed in pieces: keys and values of the past are kept, and its new positions look back at them.

Shapes: B sequences, T places so far, N new positions, S blocks, Q positions of a block, W positions of a window, E = W
+ Q places before and in a block, H query heads, G key/value heads, K head size.

Without a window keys and values grow for ever. Where the rotary base grows with the length (NTK), every new position
turns all keys anew, so they are kept unturned; else each is turned once, at its place.
With a window each key is turned once, at its place in the stream: attention knows distances only. The angles are
made in double precision, so that a place a million tokens on is as exact as the first, and the base is always that
of the window's length, as when a whole window is run.
Gradients, where the caller wants them, go to the new positions alone: of all blocks at once, over the whole band of N
queries and T places, since torch's own way back through S windows that overlap takes longer than all the rest.
Cost: 2·G·K numbers a place and attention visit; attention over E places for each block, and over the prefix without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.step.memory import Past, Step, Turns

FIRST_ROOM = 64  # positions


class Sees(Protocol):
    """A kernel of attention, as far as it is asked here."""

    def visible(self, ids_BT: Tensor, count: int) -> Tensor: ...


class AttentionStep(Step):
    """``mix`` of an attention whose rotary positions are ``Passed``: they are applied here."""

    def __init__(
        self,
        past: Past,
        stands_for: Callable[..., Any],
        rotary: Turns,
        kernel: Sees,
    ) -> None:
        super().__init__(past, stands_for)
        self.rotary, self.kernel = rotary, kernel

    def step(self, memory: Any, q_BNHK: Tensor, k_BNGK: Tensor, v_BNGK: Tensor, context: Any) -> tuple[Tensor, Any]:
        if self.past.window is None:
            return self._over_all(memory, q_BNHK, k_BNGK, v_BNGK)
        return self._over_windows(memory, q_BNHK, k_BNGK, v_BNGK)

    def _over_all(self, memory: Any, q_BNHK: Tensor, k_BNGK: Tensor, v_BNGK: Tensor) -> tuple[Tensor, Any]:
        past, new = self.past, q_BNHK.size(1)
        length, device = past.ids_BT.size(1), past.ids_BT.device
        key = (type(self.rotary), self.rotary.settings)
        cos, sin = past.once(key, lambda: self.rotary.tables(length, device))
        q_BNHK = self.rotary.turn(q_BNHK, cos[-new:], sin[-new:])
        if not self.rotary.ntk:
            k_BNGK = self.rotary.turn(k_BNGK, cos[-new:], sin[-new:])
        keys, values = memory or (History(), History())
        keys, values = keys.append(k_BNGK), values.append(v_BNGK)
        k_BTGK = self.rotary.turn(keys.all, cos, sin) if self.rotary.ntk else keys.all
        mask_BNT = past.once(type(self.kernel), lambda: self.kernel.visible(past.ids_BT, new))
        return look_back(q_BNHK, k_BTGK, values.all, mask_BNT), (keys, values)

    def _over_windows(self, memory: Any, q_BNHK: Tensor, k_BNGK: Tensor, v_BNGK: Tensor) -> tuple[Tensor, Any]:
        past, new, device = self.past, q_BNHK.size(1), self.past.ids_BT.device
        window, key = past.length - past.size, (type(self.rotary), self.rotary.settings)
        cos, sin = past.once(key, lambda: self.rotary.tables_from(past.start, new, window, device))
        keys, values = memory or (None, None)
        q_BNHK, k_BNGK = self.rotary.turn(q_BNHK, cos, sin), self.rotary.turn(k_BNGK, cos, sin)
        k_BTGK, v_BTGK = past.extended(keys, k_BNGK.detach()), past.extended(values, v_BNGK.detach())
        mask_SQE = past.once(type(self.kernel), self._mask)
        if torch.is_grad_enabled():
            bias_BNT = past.once((type(self.kernel), "band"), lambda: _band(past, mask_SQE))
            y_BNHK = _Banded.apply(q_BNHK, k_BNGK, v_BNGK, k_BTGK, v_BTGK, past, mask_SQE, bias_BNT)
        else:
            y_BNHK = _in_windows(q_BNHK, k_BTGK, v_BTGK, past, mask_SQE)
        return y_BNHK, (past.rest(k_BTGK), past.rest(v_BTGK))

    def _mask(self) -> Tensor:
        past = self.past
        return self.kernel.visible(past.windows(past.ids_BT), past.size) & past.band()


def look_back(q_BNHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, visible_BNT: Tensor) -> Tensor:
    """``softmax(q kᵀ / √K) v`` over the visible places: [B, N, H, K]."""
    q, k, v = (x.transpose(1, 2) for x in (q_BNHK, k_BTGK, v_BTGK))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible_BNT[:, None], enable_gqa=q.size(1) != k.size(1))
    return y.transpose(1, 2)


def _in_windows(q_BNHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, past: Past, mask_SQE: Tensor) -> Tensor:
    q_SQHK, k_SEGK, v_SEGK = past.blocks(q_BNHK), past.windows(k_BTGK), past.windows(v_BTGK)
    return past.joined(look_back(q_SQHK, k_SEGK, v_SEGK, mask_SQE))


def _band(past: Past, mask_SQE: Tensor) -> Tensor:
    """The blocks' masks beside each other: 0 where a new position may see a place, −∞ where not. [B, N, T]."""
    (batch, places), size = past.ids_BT.shape, past.size
    count = (places - past.length) // size + 1
    mask_BSQE = mask_SQE.expand(batch * count, -1, -1).unflatten(0, (batch, count))
    bias_BNT = torch.full((batch, count * size, places), -math.inf, device=mask_SQE.device)
    for block in range(count):
        first = block * size
        bias_BNT[:, first : first + size, first : first + past.length].masked_fill_(mask_BSQE[:, block], 0.0)
    return bias_BNT


class _Banded(torch.autograd.Function):
    """``_in_windows`` to the bit, with a way back to the new positions: R query heads of a key/value head, M = R·N."""

    @staticmethod
    def forward(ctx, q_BNHK, k_BNGK, v_BNGK, k_BTGK, v_BTGK, past, mask_SQE, bias_BNT):  # type: ignore[override]
        ctx.save_for_backward(q_BNHK, k_BTGK, v_BTGK, bias_BNT)
        return _in_windows(q_BNHK, k_BTGK, v_BTGK, past, mask_SQE)

    @staticmethod
    def backward(ctx, grad_BNHK):  # type: ignore[override]
        q_BNHK, k_BTGK, v_BTGK, bias_BNT = ctx.saved_tensors
        (batch, new, heads, width), (places, groups) = q_BNHK.shape, k_BTGK.shape[1:3]
        repeats, scale = heads // groups, width**-0.5

        def rows(x_BNHK: Tensor) -> Tensor:
            x_BNGRK = x_BNHK.reshape(batch, new, groups, repeats, width)
            return x_BNGRK.permute(0, 2, 3, 1, 4).reshape(batch * groups, repeats * new, width)

        def per_group(x_BTGK: Tensor) -> Tensor:
            return x_BTGK.transpose(1, 2).reshape(batch * groups, places, width)

        def positions(x_BGNK: Tensor) -> Tensor:
            return x_BGNK.view(batch, groups, new, width).transpose(1, 2)

        q_GMK, grad_GMK = rows(q_BNHK) * scale, rows(grad_BNHK)
        k_GTK, v_GTK = per_group(k_BTGK), per_group(v_BTGK)
        bias_GMT = bias_BNT.repeat_interleave(groups, 0).repeat(1, repeats, 1)
        p_GMT = torch.baddbmm(bias_GMT, q_GMK, k_GTK.mT).softmax(-1)
        grad_v_GNK = p_GMT[..., -new:].mT @ grad_GMK
        grad_p_GMT = grad_GMK @ v_GTK.mT
        grad_s_GMT = torch._softmax_backward_data(grad_p_GMT, p_GMT, -1, p_GMT.dtype)
        grad_q_GMK = (grad_s_GMT @ k_GTK).mul_(scale)
        grad_k_GNK = grad_s_GMT[..., -new:].mT @ q_GMK
        grad_q_BGRNK = grad_q_GMK.view(batch, groups, repeats, new, width)
        grad_q_BNHK = grad_q_BGRNK.permute(0, 3, 1, 2, 4).reshape(batch, new, heads, width)
        return grad_q_BNHK, positions(grad_k_GNK), positions(grad_v_GNK), *(None,) * 5


class History:
    """Positions one after another, in memory that doubles when it is full; what is in it is never changed."""

    def __init__(self, room: Tensor | None = None, length: int = 0) -> None:
        self._room, self._length = room, length
        self._ended = False  # whether somebody has appended to it: the room behind it is theirs

    @property
    def all(self) -> Tensor:
        """[B, T, …]."""
        assert self._room is not None
        return self._room[:, : self._length]

    def append(self, new: Tensor) -> History:
        """This and then ``new`` [B, N, …]."""
        length, room = self._length + new.size(1), self._room
        if room is None or length > room.size(1) or self._ended:
            room = new.new_empty(new.size(0), max(FIRST_ROOM, 2 * self._length, length), *new.shape[2:])
            if self._room is not None:
                room[:, : self._length] = self.all
        self._ended = self._ended or room is self._room
        room[:, self._length : length] = new
        return History(room, length)
