"""Small networks, plans and coders with known answers.

Shapes: B blocks, T inputs, K kept positions, I positions in the order of prediction, V vocabulary, N tokens.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pgolf.core.prediction import Rows, Span
from pgolf.core.results import ParamSpec
from pgolf.eval.blocks import lane_targets
from pgolf.eval.windows import windows


class Bigram(nn.Module):
    """Logits depend on the input token alone: easy to check by hand."""

    def __init__(self, vocab_size, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))

    def param_specs(self):
        return {"table": ParamSpec("matrix", "matrix", "bigram", "table")}

    def logits(self, ids_BT, keep=None):
        ids_BT = ids_BT if keep is None else ids_BT[:, -keep:]
        return self.table[ids_BT]


class History(nn.Module):
    """Logits depend on the sum of all inputs so far in the window: context is visible in the score."""

    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size = vocab_size
        self.scale = nn.Parameter(torch.tensor(1.0))

    def logits(self, ids_BT, keep=None):
        total_BT = ids_BT.cumsum(dim=1) % self.vocab_size
        logits_BTV = self.scale * F.one_hot(total_BT, self.vocab_size).float()
        return logits_BTV if keep is None else logits_BTV[:, -keep:]


class Counting:
    """A network that learns: add-one counts of the tokens it has observed, and the journal of its calls.

    ``calls``: (what, blocks, inputs, tokens or None), in order. Its one signal is how many tokens it has observed.
    """

    learns = replayed = True
    remembers = False
    offers = ("observed",)

    def __init__(self, vocab_size, cadence=None):
        self.counts_V = torch.ones(vocab_size)
        self.cadence = cadence
        self.calls = []

    def log_probs(self, batch, wanted=()):
        self.calls.append(("log_probs", batch.blocks, batch.inputs_BT.clone(), None))
        shape = len(batch.blocks), batch.keep
        logp_V = (self.counts_V / self.counts_V.sum()).log()
        return Rows(logp_V.expand(*shape, -1), {name: self.counts_V.sum().expand(shape) for name in wanted})

    def observe(self, batch, tokens_BK):
        self.calls.append(("observe", batch.blocks, batch.inputs_BT.clone(), tokens_BK.clone()))
        self.counts_V = self.counts_V + torch.bincount(tokens_BK.flatten(), minlength=len(self.counts_V))

    def fork(self):
        copy = Counting(len(self.counts_V), self.cadence)
        copy.counts_V, copy.calls = self.counts_V.clone(), list(self.calls)
        return copy

    @property
    def observed(self):
        """(blocks, inputs, tokens) of the calls of ``observe``, as plain lists."""
        calls = [call for call in self.calls if call[0] == "observe"]
        return [(blocks, inputs.tolist(), tokens.tolist()) for _, blocks, inputs, tokens in calls]


@dataclass(frozen=True)
class Lanes:
    """Windows of several lanes beside each other: one block of each lane, then the next of each."""

    targets: int
    lane_starts: tuple[int, ...]
    window: int
    stride: int
    batch_blocks: int = 4
    steps: int = 2  # of every lane in a round

    @property
    def side_bits(self):
        return 16.0 * (len(self.lane_starts) - 1)

    def rounds(self, tape):
        sizes = lane_targets(self.lane_starts, self.targets)
        lanes = [
            [replace(block, lane=lane) for block in windows(size, self.window, self.stride)]
            for lane, size in enumerate(sizes)
        ]
        steps = [[block for block in step if block is not None] for step in zip_longest(*lanes)]
        for start in range(0, len(steps), self.steps):
            yield [block for step in steps[start : start + self.steps] for block in step]


@dataclass(frozen=True)
class Listed:
    """A plan of given rounds."""

    listed: Sequence[Sequence[Span]]
    lane_starts: tuple[int, ...] = (0,)
    batch_blocks: int = 4
    side_bits: float = 0.0

    def rounds(self, tape):
        yield from self.listed


class Stopping:
    """A coder like a decoder at the places ``stops``: it tells their targets, and what follows, only after their rows.

    ``nll_nats_N`` NaN where it was told of a block in part; ``row`` by place, of the stops.
    """

    def __init__(self, tokens_N: np.ndarray, stops: Collection[int], lane_starts: Sequence[int] = (0,)) -> None:
        self.tokens_N = tokens_N.astype(np.int64)
        self.stops, self.lane_starts = set(stops), lane_starts
        self.nll_nats_N = np.full(len(tokens_N) - 1, np.nan)
        self.row: dict[int, np.ndarray] = {}

    @property
    def first_tokens(self):
        return self.tokens_N[list(self.lane_starts)].tolist()

    def known(self, block):
        first = self.lane_starts[block.lane]
        ahead = [
            place for place in range(first + block.start, first + block.stop) if place in self.stops - set(self.row)
        ]
        return self.tokens_N[first + block.start + 1 : (ahead or [first + block.stop])[0] + 1]

    def wants(self, block):
        return True

    def settle(self, place_I, rows, token_I):
        assert np.array_equal(token_I, self.tokens_N[place_I + 1])
        self.nll_nats_N[place_I] = rows.nll_nats(token_I)

    def draw(self, place, row_V):
        assert place in self.stops and place not in self.row, "asked where it has told, or twice"
        self.row[place] = row_V.copy()
        token = int(self.tokens_N[place + 1])
        self.nll_nats_N[place] = -np.log(np.float64(row_V[token]))
        return token


class AllRows(Stopping):
    """A coder like a decoder at its stops, that writes down every row."""

    def settle(self, place_I, rows, token_I):
        super().settle(place_I, rows, token_I)
        self.row |= {int(place): rows.row(index).copy() for index, place in enumerate(place_I)}


class Notes:
    """Takes what an encoder writes, and gives it back in order."""

    def __init__(self):
        self.written, self._read = [], 0

    def write(self, token, row_V):
        self.written.append((token, row_V.copy()))

    def read(self, row_V):
        token, expected_V = self.written[self._read]
        assert np.array_equal(row_V, expected_V), f"row {self._read} is another"
        self._read += 1
        return token
