"""Windows from several shards at once, each shard walked in a coprime stride.

A shard of N tokens is entered at a random phase below T and holds ``B = ⌊(N − 1 − phase) / T⌋`` windows; the k-th is
number ``(start + k · stride) mod B`` with ``gcd(stride, B) = 1``, so that each comes once before all is drawn anew. A
draw takes ``mix`` shards without replacement, with probability ∝ remaining^α, ``α = 0.9 − 0.4 p``; one window from
each and the others by a multinomial; shuffles within shards and takes one of each in turn. ``p`` rises from 0 to 1
over ``ramp`` draws, and ``mix`` from ``mix_first`` to ``mix_last`` with it. Of what is drawn rank r takes windows r,
r + W, ….
Source: #726, in #1060, #1120 and #1204. There a draw is made for every micro-step, the mixes grow with W, and the
generator's seed is a hash of the shards' paths: the curriculum runs W·A times as fast in a run of one GPU, and the
order hangs on the folder's name and not on the run's seed. With ``draw: step`` one draw serves an optimizer step, so
that its tokens are the same for every W and A, and the seed covers names, token counts and the run's seed.
Cost in bytes: none. Cost in time: a memory-map read per window (`pgolf bench loader`).
Hurts: nothing known. No isolated gain was published; #1060 names more diverse batches.
"""

# B windows of one micro-step on one rank, T positions

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.protocols import Loader
from pgolf.core.ranges import NonNegativeInt, PositiveInt
from pgolf.data.shards import ShardSlice
from pgolf.loader.prefetch import Prefetch
from pgolf.loader.shards import Shards
from pgolf.loader.stream import check_batch

_FNV_PRIME = 1099511628211
_64_BITS = (1 << 64) - 1
_MIX_LAST_PER_RANK = 8


def build(
    *,
    draw: Literal["step", "micro_step"],
    mix_first: PositiveInt,
    mix_last: PositiveInt,
    ramp: PositiveInt,
    hashed_folder: str | None,
    prefetch: bool,
    slices: Sequence[ShardSlice],
    batch_tokens: PositiveInt,
    window: PositiveInt,
    accumulation: PositiveInt,
    rank: NonNegativeInt,
    world: PositiveInt,
    seed: NonNegativeInt,
    bos_id: NonNegativeInt,
) -> Loader:
    """The loader of ``loader=coprime``; with ``prefetch`` one batch is read ahead on a thread.

    ``hashed_folder``: the published seed, of the shards' paths in a folder of this name; null: ``shard_seed``.
    ``bos_id`` is what every loader is given; here no document is looked for.
    """
    check_batch(batch_tokens, window, accumulation, rank, world)
    shards = Shards(slices)
    names = [piece.path.name for piece in shards.slices]
    if hashed_folder is None:
        generator_seed = shard_seed(names, shards.lengths, seed)
    else:
        generator_seed = path_seed([f"{hashed_folder}/{name}" for name in names])
    if draw == "micro_step":
        mix_first, mix_last = max(mix_first, world), max(mix_last, _MIX_LAST_PER_RANK * world)
    mixture = ShardMixture(shards.lengths, window, (mix_first, mix_last, ramp), generator_seed)
    parts = accumulation if draw == "step" else 1
    count = batch_tokens // (window * accumulation) * parts
    loader = Coprime(shards, mixture, window, count, lanes=(rank, world, parts))
    return Prefetch(loader) if prefetch else loader


def path_seed(paths: Sequence[str]) -> int:
    """The published hash of all paths: ``h = ((h xor byte) · prime) mod 2^64``, from 0."""
    found = 0
    for byte in b"".join(path.encode() for path in paths):
        found = ((found ^ byte) * _FNV_PRIME) & _64_BITS
    return found


def shard_seed(names: Sequence[str], lengths: Sequence[int], seed: int) -> int:
    """Of the shards' own names, their token counts and the run's seed, wherever they lie."""
    text = json.dumps([list(names), list(lengths), seed])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


@dataclass(slots=True)
class _Walk:
    """Through the ``blocks`` windows of a shard, of which ``done`` are taken; all 0: not begun."""

    phase: int = 0
    blocks: int = 0
    start: int = 0
    stride: int = 1
    done: int = 0


class ShardMixture:
    """The windows of one draw after another, as (shard, first token). ``mixes``: first, last, draws between."""

    def __init__(self, lengths: Sequence[int], window: int, mixes: tuple[int, int, int], seed: int) -> None:
        self._lengths, self._window = lengths, window
        self._first, self._last, self._ramp = mixes
        self._usable = [shard for shard, length in enumerate(lengths) if length > window]
        if not self._usable:
            raise DataError(
                f"loader: no training shard has the {window + 1:,} tokens of a window and its targets; the longest "
                f"has {max(lengths, default=0):,}"
            )
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._walks = [_Walk() for _ in lengths]
        self._draws = 0

    def draw(self, count: int) -> list[tuple[int, int]]:
        progress = min(self._draws / self._ramp, 1.0)
        self._draws += 1
        chances = self._remaining() ** (0.9 - 0.4 * progress)
        chances /= chances.sum()
        most = min(len(self._usable), count)
        low, high = min(self._first, most), min(self._last, most)
        mix = min(max(1, round(low + progress * (high - low))), most)
        chosen = self._random.choice(len(self._usable), size=mix, replace=False, p=chances)
        counts = np.ones(mix, dtype=np.int64)
        if count > mix:
            counts += self._random.multinomial(count - mix, chances[chosen] / chances[chosen].sum())
        order = self._random.permutation(mix)
        heaps = [self._taken(self._usable[chosen[place]], int(counts[place])) for place in order]
        return self._interleaved(heaps)

    def _remaining(self) -> np.ndarray:
        """Windows left in each usable shard, at least 1: what is used up is drawn anew when it is chosen."""
        left = []
        for shard in self._usable:
            walk = self._walks[shard]
            whole = (self._lengths[shard] - 1) // self._window
            left.append(max(walk.blocks - walk.done, 1) if walk.blocks else whole)
        return np.array(left, dtype=np.float64)

    def _taken(self, shard: int, count: int) -> list[tuple[int, int]]:
        """The next ``count`` windows of a shard, shuffled."""
        found = []
        for _ in range(count):
            walk = self._walks[shard]
            if walk.done >= walk.blocks:
                walk = self._walks[shard] = self._begun(self._lengths[shard])
            block = (walk.start + walk.done * walk.stride) % walk.blocks
            found.append((shard, walk.phase + block * self._window))
            walk.done += 1
        return [found[place] for place in self._random.permutation(count)] if count > 1 else found

    def _begun(self, length: int) -> _Walk:
        most = min(self._window - 1, length - self._window - 1)  # a phase that leaves one window
        phase = self._below(most + 1)
        blocks = (length - 1 - phase) // self._window
        return _Walk(phase, blocks, self._below(blocks), self._coprime_to(blocks))

    def _below(self, end: int) -> int:
        return int(self._random.integers(end)) if end > 1 else 0

    def _coprime_to(self, blocks: int) -> int:
        stride = 1
        while blocks > 1:
            stride = int(self._random.integers(1, blocks))
            if math.gcd(stride, blocks) == 1:
                break
        return stride

    def _interleaved(self, heaps: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
        """One from the end of each heap in turn, in a new order each time, until none is left."""
        found = []
        while heaps:
            order = self._random.permutation(len(heaps))
            found += [heaps[place].pop() for place in order]
            heaps = [heaps[place] for place in order if heaps[place]]
        return found

    def state(self) -> dict[str, Any]:
        return {
            "random": json.dumps(self._random.bit_generator.state),  # its integers have 128 bits
            "walks": [list(astuple(walk)) for walk in self._walks],
            "draws": self._draws,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._random.bit_generator.state = json.loads(state["random"])
        self._walks = [_Walk(*walk) for walk in state["walks"]]
        self._draws = int(state["draws"])


class Coprime:
    """``count`` windows a draw; ``lanes`` = (rank, world, micro-steps that share a draw)."""

    by_rank = False

    def __init__(
        self, shards: Shards, mixture: ShardMixture, window: int, count: int, *, lanes: tuple[int, int, int]
    ) -> None:
        self._shards, self._mixture, self._window, self._count = shards, mixture, window, count
        self._rank, self._world, self._parts = lanes
        self._part = 0
        self._before: dict[str, Any] = {}
        self._drawn: list[tuple[int, int]] = []

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        if self._part == 0:
            self._draw()
        mine = self._drawn[self._part * self._world + self._rank :: self._world * self._parts]
        self._part = (self._part + 1) % self._parts
        return self._shards.windows(mine, self._window)

    def _draw(self) -> None:
        if self._parts > 1:
            self._before = self._mixture.state()
        self._drawn = self._mixture.draw(self._count)

    def state(self) -> dict[str, Any]:
        """Within a step, what it was drawn from: it is drawn again."""
        mixture = self._before if self._part else self._mixture.state()
        return {"lengths": list(self._shards.lengths), "part": self._part, "mixture": mixture}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises DataError for the state of other shards."""
        self._shards.check_state(state)
        self._mixture.restore(state["mixture"])
        self._part = int(state["part"])
        if self._part:
            self._draw()

    def close(self) -> None:
        """Nothing to let go of: the shards are memory maps."""
