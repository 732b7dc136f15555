"""The prefix-only audit: at places drawn after the scores stand, another sealed process predicts without the future.

The scores of the whole stream are committed by their hash; only then are places drawn, from the system's entropy. A
second sealed process gets the stream up to each of them, hands over its whole row, and only then gets the target.
Whoever made the scores did not know where they would be looked at, and whoever makes the rows cannot see what they are
about: reading ahead, rows that sum to more than one, learning before scoring, edges, memories are one and the same
case, a committed score that the row does not have. With the rows of one stretch the judge writes its targets as a
range coder does; ``pgolf.proof.decoding`` reads them.

Half of the places are uniform: no difference in n of them bounds the share of dishonest positions below 3/n at 95 %
(the rule of three). The other half are drawn in proportion to how far a target is cheaper than the dearest, which is
the most that a lie can have gained there: not only where targets are cheap, since a dear one may be made to look
common. Both processes run the accused's code; this module and its process run none of it.

The second process knows the places where it is looked at, since there it is told no further; that its stages make rows
there alone tells them nothing new. What could it do with that? Its row must have the committed score for a target that
it has not been told, and sum to one; and that score stood, here as everywhere, before any place was drawn. To be honest
at the places is of use to a liar only if the scores were honest there, which who made them could not arrange but by
honest scores everywhere. A stage that learns otherwise where no row is asked for makes other rows than were scored, and
is refused: leaving rows out can accuse who is honest, never clear who is not. That it accuses nobody is a test's to
show, for every option (``Stage.learns_from``).

Shapes: N-1 targets of the stream, n places, V vocabulary.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.core.protocols import Progress
from pgolf.eval.coder import Enough
from pgolf.eval.sealed import Refused, SealedRun, SealedScore, Telling, run_sealed
from pgolf.proof.range_coder import RangeWriter

# The share of targets that cost no more than one without a gain: all but what no honest model says of most texts.
_DEAREST = 0.999


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found at the places looked at, in the order of the stream.

    ``difference_n`` nats, the committed score less that of the row; ``sum_n`` of the row; ``least_n`` its least entry;
    ``uniform_n`` are the places that were drawn uniformly, with rows or not. ``planned``: places that were drawn; fewer
    have rows where the process broke off. ``coded``: the targets of the places in ``stretch``, all of which were looked
    at.
    """

    seed: int
    planned: int
    uniform_n: np.ndarray
    stretch: range
    coded: bytes
    place_n: np.ndarray
    difference_n: np.ndarray
    sum_n: np.ndarray
    least_n: np.ndarray
    run: SealedRun

    @property
    def complete(self) -> bool:
        return len(self.place_n) == self.planned

    @property
    def uniform(self) -> int:
        return len(self.uniform_n)

    @property
    def uniform_difference_n(self) -> np.ndarray:
        """At the uniform places alone: of all positions only they say what is usual."""
        return self.difference_n[np.isin(self.place_n, self.uniform_n)]

    @property
    def largest(self) -> float:
        """Nats, of all differences, whatever their sign; infinite for one that is no number."""
        return float(np.nan_to_num(np.abs(self.difference_n), nan=np.inf).max(initial=0.0))

    @property
    def bound(self) -> float:
        """Of the share of positions whose score is not their row's, at 95 %, where no difference was found."""
        return min(1.0, 3.0 / self.uniform)


def audit_sealed(
    artifact_path: Path,
    tokens_N: np.ndarray,
    sealed: SealedScore,
    vocab_size: int,
    places: int,
    stretch_tokens: int,
    progress: Progress | None = None,
    **how: Any,
) -> Audit:
    """Audit the committed scores of ``sealed``; ``how``: as for ``run_sealed``. Raises as that does.

    ``stretch_tokens`` consecutive places, somewhere in the second half, are coded besides.
    """
    seed = secrets.randbits(63)
    drawn, uniform_n = draw(sealed.nll_nats_N, places, seed)
    stretch = draw_stretch(len(sealed.nll_nats_N), stretch_tokens, seed)
    agreed = (sealed.lane_starts, sealed.side_bits)
    judge = Judge(tokens_N, sealed.nll_nats_N, drawn, vocab_size, progress, agreed, stretch, sealed.place_I)
    run = run_sealed("audit", artifact_path, len(tokens_N), judge, **how)
    return judge.audit(seed, uniform_n, run)


def draw_stretch(count: int, tokens: int, seed: int) -> range:
    """So many places of ``count``, beginning in the second half where they fit there; late, since a start is cold."""
    tokens = min(tokens, count)
    last = count - tokens
    first = count // 2 if count // 2 <= last else 0
    start = int(np.random.default_rng([seed, 1]).integers(first, last + 1))
    return range(start, start + tokens)


def draw(nll_nats_N: np.ndarray, places: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(places, ascending, each once; those of them that are uniform). All places of a stream with fewer."""
    count = len(nll_nats_N)
    if count <= places:
        return np.arange(count), np.arange(count)
    random = np.random.default_rng(seed)
    uniform_n = random.choice(count, places - places // 2, replace=False)
    gain_N = np.maximum(np.nanquantile(nll_nats_N, _DEAREST) - np.nan_to_num(nll_nats_N, nan=math.inf), 0.0)
    gain_N[uniform_n] = 0.0
    wanted = min(places // 2, int((gain_N > 0).sum()))
    cheap_n = random.choice(count, wanted, replace=False, p=gain_N / gain_N.sum()) if wanted else uniform_n[:0]
    left_n = np.setdiff1d(np.arange(count), np.concatenate([uniform_n, cheap_n]))
    more_n = random.choice(left_n, places - len(uniform_n) - wanted, replace=False)
    return np.sort(np.concatenate([uniform_n, cheap_n, more_n])), np.sort(uniform_n)


@dataclass
class Judge:
    """Holds the stream and the committed scores; tells no target of a drawn place, and none that was scored after it,
    before its row is here.

    The places of ``stretch`` are looked at too, and their targets written to ``writer``.
    """

    tokens_N: np.ndarray
    nll_nats_N: np.ndarray
    drawn: np.ndarray
    vocab_size: int
    progress: Progress | None = None
    agreed: tuple[tuple[int, ...], float] | None = None  # the plan of who scored
    stretch: range = range(0)
    place_I: np.ndarray | None = None  # in the order of scoring
    telling: Telling = field(init=False)
    writer: RangeWriter = field(default_factory=RangeWriter)
    found: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.telling = Telling(self.tokens_N, self.agreed, self.place_I)
        drawn = np.union1d(self.drawn, np.array(self.stretch, dtype=np.int64))
        self.drawn = drawn[np.argsort(self.telling.turn_N[drawn], kind="stable")]

    def answer(self, message: Mapping[str, Any], payload: bytes) -> np.ndarray | None:
        if "ready" in message:
            return self.telling.open(message)
        if "ask" in message:
            if len(self.found) == len(self.drawn):
                raise Enough
            told = self.telling.targets(message, self._next_drawn())
            self._tell()
            return told
        if "row" not in message:
            raise Refused(f"said {sorted(message)}, which is no answer to an audit")
        place = self.telling.place_of(int(message["row"]))
        lane = self.telling.lane_at(place)
        if self._next_drawn() != place:
            raise Refused(f"handed over a row for position {place}, which it was not asked for")
        self._look(place, payload)
        token = self.telling.one(lane)
        self._tell()
        return token

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress("audit", *self.telling.share(int(self.drawn[-1])))

    def _next_drawn(self) -> int | None:
        """The first drawn place, in the order of scoring, whose row is not here."""
        return int(self.drawn[len(self.found)]) if len(self.found) < len(self.drawn) else None

    def _look(self, place: int, payload: bytes) -> None:
        target = int(self.tokens_N[place + 1])
        told_V = row_of(payload, self.vocab_size)
        row_V = told_V.astype(np.float64)
        p = row_V[target]
        nll_nats = -math.log(p) if p > 0 else math.inf
        self.found[place] = float(self.nll_nats_N[place]) - nll_nats, float(row_V.sum()), float(row_V.min())
        if place in self.stretch:
            self.writer.write(target, told_V)

    def audit(self, seed: int, uniform_n: np.ndarray, run: SealedRun) -> Audit:
        place_n = np.array(sorted(self.found), dtype=np.int64)
        columns = np.array([self.found[int(place)] for place in place_n], dtype=np.float64).reshape(-1, 3)
        return Audit(
            seed=seed,
            planned=len(self.drawn),
            uniform_n=uniform_n,
            stretch=self.stretch,
            coded=self.writer.data(),
            place_n=place_n,
            difference_n=columns[:, 0],
            sum_n=columns[:, 1],
            least_n=columns[:, 2],
            run=run,
        )


def row_of(payload: bytes, vocab_size: int) -> np.ndarray:
    """The row that was handed over, float32 [V]. Raises Refused for one of another length."""
    row_V = np.frombuffer(payload, dtype="<f4")
    if len(row_V) != vocab_size:
        raise Refused(f"handed over a row of {len(row_V)} entries for a vocabulary of {vocab_size}")
    return row_V
