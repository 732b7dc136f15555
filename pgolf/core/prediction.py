"""What predicts, and what it may know: the contracts between the evaluation loop and its techniques.

The network gives rows of probabilities for blocks of positions (spans); stages rewrite them row by row. Neither is
given targets: only a coder holds those, and a token reaches ``observe`` and ``learn`` after its row is written.

Shapes: B spans of one batch, T inputs of a span, K kept positions, V vocabulary, E rows in, F signals in, S out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from pgolf.core.ranks import ONE, Ranks

if TYPE_CHECKING:
    from pgolf.core.protocols import Model


@dataclass(frozen=True, slots=True)
class Facts:
    """``stream_tokens``: the first one, which is free, included. ``workers``: batches side by side on a CPU.
    ``lanes``: of the plan, how many parts of the stream are predicted beside each other. ``apart``: each of these is a
    document, predicted from itself alone; another one takes its place (a block's ``lane`` by ``lanes`` leaves the same)
    once all of them have ended. ``byte_lengths``: the
    tokenizer's, of targets that are known; ``embedding``: gives the artifact's vectors of the tokens, float64 [V, D].
    ``widths``: gives the numbers a position of each vector that the model can be asked for. ``packed``: counts of the
    training text that came with the artifact, a ``pgolf.ngram.packed_start.TrainingCounts``. All are None where there
    are none, no tokenizer or no model yet. ``ranks``: the processes that share the work; each has all of these facts.
    ``whole_rows``: every position's row is made whole; else, where the target is known, its price alone is."""

    vocab_size: int
    bos_id: int
    stream_tokens: int
    device: str = "cpu"
    workers: int = 1
    lanes: int = 1
    apart: bool = False
    byte_lengths: Callable[[np.ndarray], np.ndarray] | None = None
    embedding: Callable[[], np.ndarray] | None = None
    widths: Callable[[], Mapping[str, int]] | None = None
    packed: Any = None
    ranks: Ranks = ONE
    whole_rows: bool = True

    @property
    def targets(self) -> int:
        return self.stream_tokens - 1

    def width(self, name: str) -> int | None:
        """Of one of these vectors; 0 where the model has none such, None where there is no model yet."""
        return None if self.widths is None else self.widths().get(name, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """Inputs x_context .. x_{stop-1} of a lane; predicts the targets of the positions start .. stop-1. ``plain``: the
    lane is one that nothing adapts to."""

    lane: int
    context: int
    start: int
    stop: int
    plain: bool = False

    @property
    def length(self) -> int:
        """How many inputs."""
        return self.stop - self.context

    @property
    def keep(self) -> int:
        """How many of its last positions are predicted."""
        return self.stop - self.start

    @property
    def shape(self) -> tuple[int, int]:
        return self.length, self.keep


@dataclass(frozen=True, slots=True)
class Batch:
    """Blocks of one shape with their inputs; after the last revealed token the inputs are 0."""

    blocks: tuple[Span, ...]
    inputs_BT: Tensor
    keep: int


# What a network can be asked for beside its rows, each from them alone.
SIGNALS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "entropy": lambda logp_BKV: -(logp_BKV.exp() * logp_BKV).sum(-1),  # nats
    "largest": lambda logp_BKV: logp_BKV.amax(-1).exp(),
}


def signals_of(wanted: Sequence[str], logp_BKV: Tensor, told: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is ``wanted``: as ``told``, or made from the rows."""
    return {name: told[name] if name in told else SIGNALS[name](logp_BKV) for name in wanted}


@dataclass(frozen=True, slots=True)
class Rows:
    """``logp_BKV`` float32, log-probabilities (nats) of each kept position's target; ``signals`` float32: [B, K], of
    vectors and further rows (probabilities) [B, K, W]."""

    logp_BKV: Tensor
    signals: Mapping[str, Tensor] = field(default_factory=dict)


class Network(Protocol):
    """``learns``: whether ``observe`` changes what it would predict of the same past; ``cadence``: rounds end at its
    multiples, None: anywhere.

    ``replayed``: ``observe`` builds on a ``log_probs`` of the same batch right before, with its true inputs.
    ``remembers``: it is not given the past with each batch and must observe all of them: every batch as soon as its
    targets are known, before the lane's next, and where nobody wants its rows without a ``log_probs`` before. Batches
    of different lanes may be predicted at the same time, and are then observed as one.
    ``offers``: the signals that it can be asked for.
    """

    @property
    def learns(self) -> bool: ...
    @property
    def replayed(self) -> bool: ...
    @property
    def remembers(self) -> bool: ...
    @property
    def cadence(self) -> int | None: ...
    @property
    def offers(self) -> tuple[str, ...]: ...

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """Targets are no argument: only a coder holds them."""
        ...

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        """Learn from that very batch, which has its true inputs, and its targets."""
        ...

    def fork(self) -> Network:
        """An independent copy of the whole state."""
        ...


@runtime_checkable
class ModelNetwork(Network, Protocol):
    """A network whose rows come from a model, which may be trained between two calls; out of training mode."""

    @property
    def model(self) -> Model: ...
    def fork(self) -> ModelNetwork: ...


@runtime_checkable
class TracedNetwork(ModelNetwork, Protocol):
    """A model's network whose rows can be made with the way back from them to the weights."""

    def traced(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        """``log_probs`` in the caller's mode: where that has gradients, they go to the weights, and not into what has
        been observed."""
        ...

    def mark(self) -> Any:
        """What has been observed by now, whatever is observed from now on."""
        ...

    def since(self, mark: Any) -> TracedNetwork:
        """The same weights with what had been observed then."""
        ...


LearnsFrom = Literal["predict", "rows", "token"]


@dataclass(frozen=True, slots=True)
class Stage:
    """``signals``: what ``predict`` writes; ``needs``: what both read, each bound by name to who offers it, a vector's
    numbers one after another.

    ``reserve(state, tokens)`` returns a state with room for that many more tokens; called between rounds.
    ``score``, where there is one, does the work of both for the price of the token alone: what ``predict`` would have
    written for it, from what the rows before say of it, and then ``learn``. ``price`` does as much where that needs the
    whole rows before it, and writes none. ``after``: a stage right before this one. ``traces``: of signals and needs,
    those whose course over the stream goes into the record. ``seen(state)``: of the token that was learnt last, how
    often it had followed the context that ``order`` is of, -1 where none was known; makes traces of its own.
    ``learns_from``: what ``learn`` goes by beside the state. ``token``: lane and token alone; ``rows``: the rows and
    signals that it is given as well; ``predict``: also what ``predict`` has left in the state for it at this position.
    But for the last, ``predict`` is left out where nobody wants its row. ``dear_rows``: whole rows cost so much more
    than prices that known targets are priced alone, in a stream of any length.
    """

    name: str
    predict: Callable[..., None]
    learn: Callable[..., None]
    state: Any
    signals: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    reserve: Callable[[Any, int], Any] | None = None
    score: Callable[..., float] | None = None
    price: Callable[..., float] | None = None
    after: Stage | None = None
    traces: tuple[str, ...] = ()
    learns_from: LearnsFrom = "predict"
    dear_rows: bool = False
    seen: Callable[..., int] | None = None


def has_price(stage: Stage) -> bool:
    """Of a single token, without its row."""
    return stage.score is not None or stage.price is not None


def in_turn(stage: Stage | None) -> list[Stage]:
    """The stage behind those that it comes after; none for None."""
    return [] if stage is None else [*in_turn(stage.after), stage]
