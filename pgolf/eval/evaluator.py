"""The loop: plan → network → stages → coder, round by round. Whether it scores or decodes is the coder's business.

In a round the network's state is frozen. Its blocks are taken in order; of blocks in lockstep (one shape, different
lanes) the positions are taken one after another through the lanes. Each position's row is written before anyone but
the coder knows its token. Where the coder tells all tokens of a block, its rows are made together; where it stops, the
same-shaped forward pass is repeated with zeros after what is known, for one row after the other. A row does not depend
on what comes after it, on other blocks or on their number, to the bit, so that both ways give the same rows. Rows that
the coder does not want are made only where something learns from them. Where a lane turns out to end inside a block,
its rows from there on are nobody's: they are not handed on, and what learns is shown the block without them.

On several ranks (``pgolf.core.ranks``) each makes rows of a part of the blocks. All get all rows; stages, prices and
what the network learns are the work of each, and the same on each. The first rank's coder is asked for all of them.

Shapes: B blocks, G blocks in lockstep, T inputs, K kept positions, I = G·K positions, V vocabulary, E experts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pgolf.core.errors import DataError
from pgolf.core.prediction import Batch, Facts, Network, Rows, Span, Stage
from pgolf.core.process import one_kernel_thread
from pgolf.core.protocols import Progress
from pgolf.core.ranks import owner, share
from pgolf.core.threads import Behind, CoreShare, kept_threads, threaded
from pgolf.eval.blocks import RoundPlan, Tape, batches, in_lockstep, tape_of
from pgolf.eval.coder import Coder, Enough, LogRows, PlainRows, Predicted, Prices
from pgolf.eval.led import Led
from pgolf.eval.stage import Chain

# Of a stage's probabilities; what a network's fp32 softmax has rounded to nothing would be divided by.
LEAST = float(np.float32(1e-30))


def under(label: str, progress: Progress | None) -> Progress | None:
    """``progress``, told of a loop's positions under another label."""
    return None if progress is None else lambda _, done, total: progress(label, done, total)


class Evaluator:
    """One stream. ``stages``: experts that add rows to the network's, then the mixer that makes one row of all.

    ``core_share``: of the network's passes; ``following``: of stages and prices; ``observing``: of what the network
    does with targets.
    """

    def __init__(self, network: Network, plan: RoundPlan, facts: Facts, stages: Sequence[Stage] = ()) -> None:
        if facts.targets < 1:
            raise DataError(f"a stream of {facts.stream_tokens} tokens has nothing to score; two are the least")
        self.network, self.plan, self.facts = network, plan, facts
        self.chain = Chain(stages, network.offers, facts.targets)
        if not facts.whole_rows:
            self.chain.check_prices()
        self.core_share, self.following, self.observing = CoreShare(), CoreShare(), CoreShare()

    @property
    def learns(self) -> bool:
        """Whether anything changes with the tokens."""
        return self.network.learns or bool(self.chain)

    @property
    def seconds(self) -> dict[str, float]:
        """What each part has worked so far. Parts work beside each other, and the network in several threads."""
        of_stages = self.chain.seconds
        prices = max(self.following.seconds - sum(of_stages.values()), 0.0)  # rows that are coded were not followed
        return {
            "network": self.core_share.seconds,
            **of_stages,
            "prices": prices,
            "observe": self.observing.seconds,
        }

    def run(self, coder: Coder, first_tokens: Sequence[int], progress: Progress | None = None) -> Tape:
        """Predict the stream for ``coder``; ``first_tokens`` are those of the lanes, which nobody predicts, or what is
        told of lanes that end with a token. Raises RankLost, RanksDisagree."""
        first_tokens = self.facts.ranks.told(np.array(first_tokens, dtype=np.int64)).tolist()
        tape = tape_of(self.plan.lane_starts, first_tokens, self.facts.targets)
        led = Led(coder, self.facts.ranks)
        with contextlib.suppress(Enough), kept_threads(), Behind(beside=self.facts.workers > 1) as self._behind:
            self._run(led, tape, progress)
        led.agree()
        return tape

    def _run(self, coder: Coder, tape: Tape, progress: Progress | None) -> None:
        targets, done = self.facts.targets, 0
        with one_kernel_thread():
            for blocks in self.plan.rounds(tape):
                for part in _within_cadence(blocks, self.network.cadence):
                    self._round(part, tape, coder)
                    done += sum(tape.end(block) - block.start for block in part)
                if progress is not None:
                    progress("positions", done, targets)
        self._behind.done()
        if done != targets:
            raise ValueError(f"eval: the plan predicted {done} of {targets} targets")

    def check_room(self, first_tokens: Sequence[int]) -> None:
        """Raise ConfigError where a stage would have no room for the first round; ``first_tokens``: as of ``run``."""
        tape = tape_of(self.plan.lane_starts, first_tokens, self.facts.targets)
        blocks = next(_within_cadence(next(iter(self.plan.rounds(tape))), self.network.cadence))
        self.chain.fork().reserve(sum(block.keep for block in blocks))

    def fork(self) -> Evaluator:
        """An independent evaluator in the same state."""
        twin = object.__new__(Evaluator)
        twin.__dict__.update(self.__dict__)
        twin.network, twin.chain = self.network.fork(), self.chain.fork()
        return twin

    def _round(self, blocks: Sequence[Span], tape: Tape, coder: Coder) -> None:
        self._behind.put(lambda: self._reserve(sum(block.keep for block in blocks)))
        ready: list[tuple[Span, ...]] = []
        written: dict[tuple[Span, ...], int] = {}  # rows of these that were handed over one by one
        for group in in_lockstep(blocks):
            self._check(group, tape)
            self._hear(group, tape, coder)
            if any(tape.known(block.lane) < tape.end(block) for block in group):
                self._together(ready, written, tape, coder)
                ready = []
                written[group] = self._one_by_one(group, tape, coder)
            ready.append(group)
        self._together(ready, written, tape, coder)
        if self.network.learns and not self.network.remembers:
            for batch in self._batches(_ended(blocks, tape), tape):
                if self.network.replayed:
                    self.network.log_probs(batch, self.chain.wanted)
                self._observe(batch, tape)

    def _reserve(self, tokens: int) -> None:
        with self.following.counting():
            self.chain.reserve(tokens)

    def _check(self, group: Sequence[Span], tape: Tape) -> None:
        """Each block goes on where its lane has come to."""
        for block in group:
            if not tape.fits(block):
                raise ValueError(f"eval: the plan goes on with {block}, which is not what comes next")

    def _hear(self, group: Sequence[Span], tape: Tape, coder: Coder) -> None:
        """Reveal what the coder tells."""
        for block in group:
            token_n = coder.known(block)
            tape.append(block.lane, token_n[tape.known(block.lane) - block.start :])

    def _together(
        self, groups: Sequence[tuple[Span, ...]], written: Mapping[tuple[Span, ...], int], tape: Tape, coder: Coder
    ) -> None:
        """Blocks whose tokens are all known: their forward passes side by side, as many as memory need hold; stages and
        coder follow behind, while the next blocks' are made. Of some, rows are ``written``."""
        # Rows that nobody wants and nothing learns from need not be made.
        wanted = [group for group in groups if self._left(group, written, tape) or _wanted(group, written, coder)]
        wanted_blocks, remembers = {block for group in wanted for block in group}, self.network.remembers
        for some in _portions(groups if remembers else wanted, 2 * self._workers * self.plan.batch_blocks):
            blocks = [block for group in some for block in group]
            if remembers:
                found = dict(self._in_turn(some, wanted_blocks, tape))
            else:
                found = dict(zip(blocks, self._side_by_side(blocks, tape, self._priced), strict=True))
            taken = [group for group in some if group[0] in wanted_blocks]
            self._behind.put(partial(self._follow, taken, written, found, tape, coder))

    def _left(self, group: tuple[Span, ...], written: Mapping[tuple[Span, ...], int], tape: Tape) -> bool:
        """Whether something is to learn from rows of the group that are not written."""
        return bool(self.chain) and written.get(group, 0) < sum(tape.end(block) - block.start for block in group)

    def _follow(
        self,
        groups: Sequence[tuple[Span, ...]],
        written: Mapping[tuple[Span, ...], int],
        found: Mapping[Span, Rows],
        tape: Tape,
        coder: Coder,
    ) -> None:
        with self.following.counting():
            for group in groups:
                taken, wanted = (
                    self._taken(group, [found[block] for block in group], tape),
                    _wanted(group, written, coder),
                )
                prices = self._settled(taken, written.get(group, 0), wanted)
                if wanted:
                    coder.settle(taken.place_I, prices, taken.token_I)

    def _settled(self, taken: _Group, written: int, wanted: bool) -> Predicted:
        """Of positions whose tokens are known; the stages have learnt these then. Those before the last one that is
        ``written`` they have learnt already."""
        count = len(taken.token_I)
        if self.facts.whole_rows or not (wanted or self._priced):
            self._hand_over(taken)
            if self.chain:
                self.chain.drive(written, count, wanted)
                self.chain.finish()
            return self._predicted(taken)
        left = slice(max(written - 1, 0), count)
        logp_IV = taken.logp_IV[left]
        if not self.chain:
            logp_I, sum_I = logp_IV.cpu().numpy().T
            return Prices(logp_I, sum_I)
        own_IV = logp_IV.exp().clamp_(min=LEAST).cpu().numpy()
        signals = {name: value_I[left].cpu().numpy() for name, value_I in taken.signals.items()}
        own = own_IV[:, 0] if self._priced else own_IV
        p_I = self.chain.score(own, signals, taken.lane_I[left], taken.token_I[left])
        return Prices(np.log(p_I.astype(np.float64)))

    @property
    def _priced(self) -> bool:
        """Whether of a row that is made, what it gives to the target and what it sums to are all that is wanted."""
        return not (self.facts.whole_rows or self.chain.takes_rows)

    def _in_turn(
        self, groups: Sequence[tuple[Span, ...]], wanted: set[Span], tape: Tape
    ) -> Iterator[tuple[Span, Rows]]:
        """Rows of a batch of each lane side by side, and all of these observed at once, before the next; no rows of
        batches that nobody wants."""
        for some in _alike(groups, self.plan.batch_blocks):
            lanes = [lane for lane in zip(*some, strict=True) if wanted.intersection(lane)]
            ranks = range(self.facts.ranks.world)
            work = [[lane for lane in lanes if self._owner(lane[0]) == rank] for rank in ranks]
            yield from self._made(work, tape, self._priced)
            self._observe(self._batch([block for group in some for block in group], tape), tape)

    def _observe(self, batch: Batch, tape: Tape) -> None:
        targets_BK = np.stack([tape.targets(block) for block in batch.blocks])
        with self.observing.counting():
            self.network.observe(batch, torch.from_numpy(targets_BK).to(self.facts.device))

    def _one_by_one(self, group: tuple[Span, ...], tape: Tape, coder: Coder) -> int:
        """Blocks of which some token is known only once its row is there; returns how many rows the stages have written
        when all are. If there are more, they are to be made of the true inputs."""
        written = 0
        while True:
            kept = [tape.end(block) - block.start for block in group]
            known = min(
                (tape.known(block.lane) - block.start for block in group if tape.known(block.lane) < tape.end(block)),
                default=None,
            )
            if known is None:
                break
            rows_G = self._side_by_side(group, tape)
            self._behind.done()  # the stages have learnt what comes before
            rows = self._taken(group, rows_G, tape)
            self._hand_over(rows)
            index = sum(min(count, known) for count in kept)
            for block in [block for block, count in zip(group, kept, strict=True) if count > known]:
                if self.chain:
                    self.chain.drive(written, index, wanted=False)
                    written = index + 1
                if len(group) > 1 and tape.known(block.lane) == block.start + known:
                    self._hear([block], tape, coder)  # more may be told since another lane's token was drawn
                    rows.token_I[index] = tape.targets(block)[known]
                if tape.known(block.lane) == block.start + known:
                    token = coder.draw(int(rows.place_I[index]), self._predicted(rows).row(index))
                    rows.token_I[index] = token
                    tape.append(block.lane, rows.token_I[index : index + 1])
                index += 1
            self._hear(group, tape, coder)
        if self.chain and written == sum(kept):
            self.chain.finish(written)
        return written

    @property
    def _workers(self) -> int:
        return self.facts.workers if self.facts.device == "cpu" else 1

    def _side_by_side(self, blocks: Sequence[Span], tape: Tape, priced: bool = False) -> list[Rows]:
        """Each block's rows; batches of a rank's are made by as many threads as there are."""
        work: list[list[tuple[Span, ...]]] = []
        for rank in range(self.facts.ranks.world):
            if self.network.remembers or self.facts.apart:
                theirs = [block for block in blocks if self._owner(block) == rank]
            else:
                theirs = [blocks[index] for index in share(self.facts.ranks, len(blocks), rank)]
            most = min(-(-len(theirs) // self._workers), self.plan.batch_blocks)
            work.append(list(batches(theirs, most)))
        found = dict(self._made(work, tape, priced))
        return [found[block] for block in blocks]

    def _owner(self, block: Span) -> int:
        """The rank whose the block is where one alone remembers or learns of its lane."""
        return owner(self.facts.ranks, self._lane(block))

    def _lane(self, block: Span) -> int:
        """Among those beside each other."""
        return block.lane % len(self.plan.lane_starts)

    def _made(
        self, work: Sequence[Sequence[tuple[Span, ...]]], tape: Tape, priced: bool
    ) -> Iterator[tuple[Span, Rows]]:
        """Rows of each rank's batches, on all ranks; ``priced``: as ``_price_of`` leaves them."""
        ranks, wanted = self.facts.ranks, self.chain.wanted
        mine = [self._batch(blocks, tape) for blocks in work[ranks.rank]]
        done = threaded(lambda batch: self._forward(batch, tape if priced else None), mine, self._workers)
        told = ranks.gathered([part for rows in done for part in (rows.logp_BKV, *(rows.signals[n] for n in wanted))])
        for theirs, tensors in zip(work, told, strict=True):
            for blocks, first in zip(theirs, range(0, len(tensors), 1 + len(wanted)), strict=True):
                logp_BKV, *signals = tensors[first : first + 1 + len(wanted)]
                rows = Rows(logp_BKV, dict(zip(wanted, signals, strict=True)))
                yield from ((block, _of(rows, index)) for index, block in enumerate(blocks))

    def _taken(self, group: Sequence[Span], rows_G: Sequence[Rows], tape: Tape) -> _Group:
        """The group's rows in the order of prediction."""
        logp_IV = _interleaved([rows.logp_BKV for rows in rows_G])
        token_I = _interleaved([torch.from_numpy(tape.targets(block)) for block in group]).numpy().copy()
        starts = self.plan.lane_starts
        place_I = _interleaved([torch.arange(b.start, b.stop) + starts[b.lane] for b in group]).numpy()
        lane_I = _interleaved([torch.full((b.keep,), self._lane(b)) for b in group]).numpy()
        signals = {name: _interleaved([rows.signals[name] for rows in rows_G]) for name in self.chain.wanted}
        count = sum(tape.end(block) - block.start for block in group)
        if count < len(token_I):  # first the positions that there are
            beyond_I = _interleaved([torch.arange(b.start, b.stop) >= tape.end(b) for b in group])
            order_I = beyond_I.int().argsort(stable=True)
            logp_IV, signals = logp_IV[order_I], {name: value_I[order_I] for name, value_I in signals.items()}
            token_I, place_I, lane_I = (array_I[order_I.numpy()[:count]] for array_I in (token_I, place_I, lane_I))
        return _Group(logp_IV, signals, lane_I, place_I, token_I)

    def _hand_over(self, taken: _Group) -> None:
        """To the stages."""
        if self.chain:
            own_IV = taken.logp_IV.exp().clamp_(min=LEAST).cpu().numpy()
            signals = {name: value_I.cpu().numpy() for name, value_I in taken.signals.items()}
            self.chain.take(own_IV, signals, taken.lane_I, taken.token_I)

    def _predicted(self, group: _Group) -> LogRows | PlainRows:
        count = len(group.token_I)
        return PlainRows(self.chain.row_IV[:count]) if self.chain else LogRows(group.logp_IV[:count])

    def _batches(self, blocks: Sequence[Span], tape: Tape, most: int | None = None) -> list[Batch]:
        return [self._batch(some, tape) for some in batches(blocks, most or self.plan.batch_blocks)]

    def _batch(self, blocks: Sequence[Span], tape: Tape) -> Batch:
        """Blocks of one shape."""
        inputs_BT = torch.from_numpy(np.stack([tape.inputs(block) for block in blocks]))
        return Batch(tuple(blocks), inputs_BT.to(self.facts.device), blocks[0].keep)

    def _forward(self, batch: Batch, tape: Tape | None) -> Rows:
        """``tape``: what tells the targets, where their prices are all that is wanted."""
        with self.core_share.counting():
            rows = self.network.log_probs(batch, self.chain.wanted)
            return rows if tape is None else _price_of(rows, np.stack([tape.targets(b) for b in batch.blocks]))


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows and signals may go on beyond the positions that there are, which are as many as the others'."""

    logp_IV: Tensor
    signals: Mapping[str, Tensor]
    lane_I: np.ndarray
    place_I: np.ndarray
    token_I: np.ndarray


def _wanted(group: tuple[Span, ...], written: Mapping[tuple[Span, ...], int], coder: Coder) -> bool:
    """Whether the rows are of use to the coder."""
    return group not in written and any(coder.wants(block) for block in group)


def _price_of(rows: Rows, token_BK: np.ndarray) -> Rows:
    """Two numbers of each row: the log-probability of the target, and what the row sums to."""
    index_BK1 = torch.from_numpy(token_BK).to(rows.logp_BKV.device).unsqueeze(-1)
    logp_BK1, sum_BK1 = rows.logp_BKV.gather(-1, index_BK1), rows.logp_BKV.exp().sum(-1, keepdim=True)
    return Rows(torch.cat([logp_BK1, sum_BK1], dim=-1), rows.signals)


def _ended(blocks: Sequence[Span], tape: Tape) -> Sequence[Span]:
    """Without what lies beyond a lane's end; blocks that are whole come first."""
    whole = [block for block in blocks if tape.end(block) == block.stop]
    return [*whole, *(replace(block, stop=tape.end(block)) for block in blocks if tape.end(block) < block.stop)]


def _of(rows: Rows, index: int) -> Rows:
    """One block's share."""
    return Rows(rows.logp_BKV[index], {name: value[index] for name, value in rows.signals.items()})


def _interleaved(parts_G: Sequence[Tensor]) -> Tensor:
    """G tensors [K, …] of blocks in lockstep as one [K·G, …]: position by position through the lanes."""
    return parts_G[0] if len(parts_G) == 1 else torch.stack(list(parts_G), 1).flatten(0, 1)


def _portions(groups: Sequence[tuple[Span, ...]], most: int) -> Iterator[Sequence[tuple[Span, ...]]]:
    """The groups in order, about ``most`` blocks at a time."""
    some: list[tuple[Span, ...]] = []
    for group in groups:
        if some and sum(map(len, some)) + len(group) > most:
            yield some
            some = []
        some.append(group)
    if some:
        yield some


def _alike(groups: Sequence[tuple[Span, ...]], most: int) -> Iterator[Sequence[tuple[Span, ...]]]:
    """Consecutive groups of the same lanes and one shape, at most ``most`` at a time."""
    some: list[tuple[Span, ...]] = []
    for group in groups:
        if some and (len(some) == most or _kind(group) != _kind(some[0])):
            yield some
            some = []
        some.append(group)
    if some:
        yield some


def _kind(group: tuple[Span, ...]) -> tuple[object, ...]:
    return group[0].shape, *(block.lane for block in group)


def _within_cadence(blocks: Sequence[Span], cadence: int | None) -> Iterator[Sequence[Span]]:
    """The round, ended wherever a block is the first to begin at or after a multiple of ``cadence``."""
    if cadence is None:
        yield blocks
        return
    part: list[Span] = []
    for block in blocks:
        if part and block.start // cadence != part[-1].start // cadence:
            yield part
            part = []
        part.append(block)
    if part:
        yield part
