"""Attention fed in pieces: keys and values of the past are kept, and its new positions look back at them.

Shapes: B sequences, T places so far, N new positions, S blocks, Q positions of a block, W positions of a window, E = W
+ Q places before and in a block, H query heads, G key/value heads, K head size.

Without a window keys and values grow for ever. Where the rotary base grows with the length (NTK), every new position
turns all keys anew, so they are kept unturned; else each is turned once, at its place.
With a window each key is turned once, at its place in the stream: attention knows distances only. The angles are
made in double precision, so that a place a million tokens on is as exact as the first, and the base is always that
of the window's length, as when a whole window is run.
Gradients, where the caller wants them, go to the new positions alone. They are written out: torch's own way back
through windows that overlap takes several times as long.
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
        mask_SQE = past.once(type(self.kernel), self._mask)
        y_BNHK, k_BTGK, v_BTGK = _Windows.apply(q_BNHK, k_BNGK, v_BNGK, keys, values, self, cos, sin, mask_SQE)
        return y_BNHK, (past.rest(k_BTGK), past.rest(v_BTGK))

    def _mask(self) -> Tensor:
        past = self.past
        return self.kernel.visible(past.windows(past.ids_BT), past.size) & past.band()


def look_back(q_BNHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, visible_BNT: Tensor) -> Tensor:
    """``softmax(q kᵀ / √K) v`` over the visible places: [B, N, H, K]."""
    q, k, v = (x.transpose(1, 2) for x in (q_BNHK, k_BTGK, v_BTGK))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible_BNT[:, None], enable_gqa=q.size(1) != k.size(1))
    return y.transpose(1, 2)


class _Windows(torch.autograd.Function):
    """Attention of the new positions over the windows of their blocks, with keys and values after those kept.

    R query heads of a key/value head, M = R·Q rows of a block.
    """

    @staticmethod
    def forward(ctx, q_BNHK, k_BNGK, v_BNGK, keys, values, step, cos, sin, mask_SQE):
        past: Past = step.past
        q_SQHK = past.blocks(step.rotary.turn(q_BNHK, cos, sin))
        k_BTGK = past.extended(keys, step.rotary.turn(k_BNGK, cos, sin))
        v_BTGK = past.extended(values, v_BNGK)
        ctx.save_for_backward(q_SQHK, k_BTGK, v_BTGK, cos, sin)
        if any(ctx.needs_input_grad):
            ctx.turn, ctx.windows, ctx.new = step.rotary.turn, past.windows, q_BNHK.size(1)
            repeats = q_BNHK.size(2) // k_BNGK.size(2)
            ctx.bias_SME = past.once((type(step.kernel), repeats), lambda: _bias(mask_SQE, repeats))
        ctx.mark_non_differentiable(k_BTGK, v_BTGK)
        ctx.set_materialize_grads(False)
        y_SQHK = look_back(q_SQHK, past.windows(k_BTGK), past.windows(v_BTGK), mask_SQE)
        return past.joined(y_SQHK), k_BTGK, v_BTGK

    @staticmethod
    def backward(ctx, grad_BNHK, *_):
        q_SQHK, k_BTGK, v_BTGK, cos, sin = ctx.saved_tensors
        batch, _, groups, width = k_BTGK.shape
        size, heads = q_SQHK.shape[1:3]
        new, repeats, scale = ctx.new, heads // groups, width**-0.5
        count = new // size

        def rows(x_SQHK: Tensor) -> Tensor:
            return x_SQHK.unflatten(2, (groups, repeats)).permute(0, 2, 3, 1, 4).reshape(-1, repeats * size, width)

        def windows(x_BTGK: Tensor) -> Tensor:
            x_SEGK = ctx.windows(x_BTGK)
            return x_SEGK.transpose(1, 2).reshape(-1, x_SEGK.size(1), width)

        def of_new(weight_SME: Tensor, row_SMK: Tensor) -> Tensor:
            """What weighted rows add up to at each new position: of its own block and of those that look back."""
            kept = weight_SME.size(-1) - size
            weight_CBME, row_CBMK = (
                x.unflatten(0, (batch, count, groups)).transpose(0, 1) for x in (weight_SME, row_SMK)
            )
            total_BNK = weight_SME.new_zeros(batch * groups, new, width)
            for block in range(count):
                first = max(0, block * size - kept)
                seen_BMN = weight_CBME[block].flatten(0, 1)[..., kept + first - block * size :]
                total_BNK[:, first : (block + 1) * size].baddbmm_(seen_BMN.mT, row_CBMK[block].flatten(0, 1))
            return total_BNK.unflatten(0, (batch, groups)).transpose(1, 2)

        q_SMK, grad_SMK = rows(q_SQHK) * scale, rows(grad_BNHK.unflatten(1, (count, size)).flatten(0, 1))
        k_SEK = windows(k_BTGK)
        bias_SME = ctx.bias_SME if len(ctx.bias_SME) == 1 else ctx.bias_SME.repeat_interleave(groups, 0)
        p_SME = torch.baddbmm(bias_SME.expand(len(q_SMK), -1, -1), q_SMK, k_SEK.mT).softmax(-1)
        grad_p_SME = grad_SMK @ windows(v_BTGK).mT
        grad_s_SME = torch._softmax_backward_data(grad_p_SME, p_SME, -1, p_SME.dtype)
        grad_q_SMK = (grad_s_SME @ k_SEK).mul_(scale)
        grad_q_SGRQK = grad_q_SMK.view(batch * count, groups, repeats, size, width)
        grad_q_BNHK = grad_q_SGRQK.permute(0, 3, 1, 2, 4).reshape(batch, new, heads, width)
        grad_k_BNGK = of_new(grad_s_SME, q_SMK)
        # Back is round the other way.
        turned = (ctx.turn(grad_BNXK, cos, -sin) for grad_BNXK in (grad_q_BNHK, grad_k_BNGK))
        return *turned, of_new(p_SME, grad_SMK), *(None,) * 6


def _bias(mask_SQE: Tensor, repeats: int) -> Tensor:
    """0 where a position may see a place, −∞ where not; [S, M, E]."""
    return torch.zeros(mask_SQE.shape, device=mask_SQE.device).masked_fill_(~mask_SQE, -math.inf).repeat(1, repeats, 1)


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
