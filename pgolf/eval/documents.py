"""Documents apart: each is predicted from itself alone, several of them beside each other.

Rule: of a document position i is predicted from the positions max(0, e−W) … i, e the next multiple of S after i: the
context grows inside the document up to the window and then slides by the stride, which need not divide it (#1855: 48 of
2,048). Where a window begins follows from the position, never from where the document ends. ``batch_documents`` B go
side by side, in the order of the stream; when all of them have ended, the next B begin. What ends a document is its
successor's BOS, once it is known.
Source: #77's evaluation (spec ttt §3.1), there with adapters; attention cut at BOS: spec validity §6, schedule 4.
Bytes: none. Time: as ``sliding``, less what short documents save. A decoder runs one pass for a token of each of the B:
the more, the quicker, until the longest of them is alone.
Side bits: two numbers where B > 1, how many documents there are and how long the last one is (``pgolf.eval.ending``);
``order: longest_first`` tells the order besides, about 11 bits a document for 50,000 of them, which the published
evaluations that sort so did not count.
Measured: the first 40,000 tokens of dev from a laptop artifact, seven documents, bits per byte and processor seconds:
1.1327 in 10.6; sliding 1.1323 in 10.1, streaming 1.1325 in 4.3.
Hurts: nothing is learnt of a document from the one before; of documents on one subject that is a loss. Counts and
mixers (``ngram``, ``mixer``) see them all, in the order in which they are predicted; what adapts in chunks
(``ttt=sgd``) has chunks that end with the document, and its last, unfinished one is not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, Network, Span
from pgolf.core.protocols import Model
from pgolf.core.ranges import PositiveInt
from pgolf.eval.blocks import Tape
from pgolf.eval.ending import Ending, EndingTape


class DocumentsApart:
    """See the module. ``window`` is W, ``stride`` S, ``batch_windows`` of them go through the network at a time."""

    name = "documents"

    def __init__(
        self,
        *,
        window: PositiveInt,
        stride: PositiveInt,
        batch_documents: PositiveInt,
        batch_windows: PositiveInt,
        order: Literal["stream", "longest_first"],
        official_truncation: bool,
    ) -> None:
        if stride > window:
            raise ConfigError(f"eval.stride: {stride} is more than the window of {window} positions")
        self.window, self.stride, self.batch_windows = window, stride, batch_windows
        self.lanes, self.order = batch_documents, order
        self.official_truncation = official_truncation

    def check(self, model: Model) -> None:
        """Fits any."""

    def network(self, network: Network, facts: Facts) -> Network:
        """As it is: every window brings its context."""
        return network

    def plan(self, facts: Facts) -> DocumentPlan:
        ending = Ending(facts.bos_id, facts.targets, self.lanes, self.order == "longest_first")
        return DocumentPlan(self.window, self.stride, self.batch_windows, ending)


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """A round is one stride of each document that goes on, of those beside each other."""

    window: int
    stride: int
    batch_blocks: int
    lane_starts: Ending

    @property
    def side_bits(self) -> float:
        """Nothing but what is told of the lanes, which is charged where it is told."""
        return 0.0

    def rounds(self, tape: Tape) -> Iterator[Sequence[Span]]:
        assert isinstance(tape, EndingTape)
        beside, first, start = len(self.lane_starts), 0, 0
        while lanes := [lane for lane in range(first, first + beside) if tape.begin(lane)]:
            while lanes:
                stop = start + self.stride
                yield [Span(lane, max(0, stop - self.window), start, stop, tape.plain(lane)) for lane in lanes]
                lanes, start = [lane for lane in lanes if tape.goes_on(lane)], stop
            first, start = first + beside, 0
