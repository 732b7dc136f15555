"""Everything a score depends on besides the stream, and the score itself.

Shapes: N tokens of the stream, N-1 targets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch

from pgolf.arch.untie import untie_recurrence
from pgolf.core.errors import ConfigError, DataError
from pgolf.core.prediction import Facts, ModelNetwork, Network, Stage, has_price, in_turn
from pgolf.core.protocols import Model, Progress, Tokenizer
from pgolf.core.ranks import ONE, Ranks
from pgolf.core.results import Score, SignalTrace
from pgolf.eval.blocks import RoundPlan
from pgolf.eval.evaluator import Evaluator, under
from pgolf.eval.metric import bits_per_byte
from pgolf.eval.network import FixedNetwork, widths_of
from pgolf.eval.scorer import Scorer
from pgolf.eval.windows import official_length
from pgolf.mixer.none import Single
from pgolf.ngram.none import NoNGram
from pgolf.ttt.none import NoAdaptation


class Stated(Protocol):
    """What a score's record says of how it was made; ``official_truncation``: see ``stream_of``."""

    @property
    def name(self) -> str: ...
    @property
    def window(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def official_truncation(self) -> bool: ...


class Terms(Protocol):
    """On what terms a stream is scored: all that a judge has to know, and nothing that predicts."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def method(self) -> Stated: ...
    @property
    def beside(self) -> tuple[str, ...]:
        """See ``names_beside``."""
        ...

    @property
    def metric(self) -> Literal["raw", "table"]: ...
    @property
    def device(self) -> str: ...


# Of all rows of a stream: more numbers are not made one by one. Two minutes of mixing and counting on one core.
MOST_ENTRIES = 1 << 34


def rows_are_whole(stream_tokens: int, vocab_size: int) -> bool:
    """Whether every position's row is made whole, where it is not too dear. Of longer streams targets alone are priced
    (``Stage.score``), and what rows sum to is known of those that are handed over to the audit."""
    return stream_tokens * vocab_size <= MOST_ENTRIES


# The groups whose techniques stand beside the eval option, in the order in which a score names them.
BESIDE = ("ngram", "mixer", "ttt")


def names_beside(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the techniques of each group of ``BESIDE``, each with those of its group that it is made of; absence
    is none. Raises KeyError and TypeError for what are no settings."""
    return tuple(name for group in BESIDE for name in _names(settings[group], f"pgolf.{group}."))


def _names(node: Mapping[str, Any], package: str) -> Iterator[str]:
    module = str(node["_target_"]).rpartition(".")[0]
    stem = module.rpartition(".")[2]
    if module.startswith(package) and stem != "none":
        yield stem
        for inner in node.values():
            if isinstance(inner, Mapping) and "_target_" in inner:
                yield from _names(inner, package)


class Method(Stated, Protocol):
    """An ``eval`` option. ``lanes``: see ``WindowPlan``."""

    lanes: int

    def check(self, model: Model) -> None:
        """Raise ConfigError for a model that it cannot be used with."""
        ...

    def network(self, network: Network, facts: Facts) -> Network:
        """What the plan's blocks go through, made of the network of the weights."""
        ...

    def plan(self, facts: Facts) -> RoundPlan: ...


class Adaptation(Protocol):
    """What a ``ttt`` technique does: the network in, one that adapts out.

    ``untie``: repeated visits of a layer have matrices of their own in the network it is given.
    """

    @property
    def untie(self) -> bool: ...

    def wrap(self, network: Network, facts: Facts) -> Network: ...

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """The experts it contributes; what these need, its network offers."""
        ...


class Counts(Protocol):
    """What an ``ngram`` technique does: the experts it contributes, each a row beside the network's."""

    def stages(self, facts: Facts) -> tuple[Stage, ...]: ...


class Mixture(Protocol):
    """What a ``mixer`` technique does: one row of the network's and ``experts`` more; None leaves the network's."""

    def stage(self, facts: Facts, experts: int) -> Stage | None: ...


@dataclass(frozen=True)
class Evaluation:
    """A complete recipe for evaluators. ``evaluator`` starts a fresh one; nothing is shared between two.

    ``beside``: what a score calls the techniques beside the method (``names_beside``). ``ranks``: the processes that
    share the work, each of which has all of this. ``whole_rows``: None: as the stream's length (``rows_are_whole``) and
    what they cost say (``Stage.dear_rows``).
    """

    network: ModelNetwork
    tokenizer: Tokenizer
    method: Method
    metric: Literal["raw", "table"]
    mixer: Mixture = field(default_factory=Single)
    ttt: Adaptation = field(default_factory=NoAdaptation)
    ngram: Counts = field(default_factory=NoNGram)
    packed: Any = None
    beside: tuple[str, ...] = ()
    device: str = "cpu"
    workers: int = field(default_factory=torch.get_num_threads)
    ranks: Ranks = ONE
    whole_rows: bool | None = None

    def facts(self, stream_tokens: int) -> Facts:
        tokenizer, whole = self.tokenizer, self.whole_rows
        return Facts(
            tokenizer.vocab_size,
            tokenizer.bos_id,
            stream_tokens,
            self.device,
            self.workers,
            byte_lengths=tokenizer.byte_lengths,
            packed=self.packed,
            ranks=self.ranks,
            whole_rows=rows_are_whole(stream_tokens, tokenizer.vocab_size) if whole is None else whole,
        )

    def evaluator(self, stream_tokens: int) -> Evaluator:
        """A fresh evaluator for a stream of that many tokens.

        Raises ConfigError where the mixer does not fit the experts, the adaptation not the windows, or a stage has no
        price for a target alone where rows are not made whole; DataError for fewer than two tokens.
        """
        facts = self.facts(stream_tokens)
        plan = self.method.plan(facts)
        facts = replace(
            facts,
            lanes=len(plan.lane_starts),
            apart=apart(plan),
            embedding=lambda: embedding_of(self.network.model),
            widths=lambda: widths_of(self.network.model),
        )
        stages = stages_of(self.ngram, self.ttt, self.mixer, facts)
        network = self.ttt.wrap(self.method.network(weights_for(self.ttt, self.network), facts), facts)
        check_cadence(self.method, network)
        check_ranks(self.method, network, facts.apart, self.ranks.world)
        if self.whole_rows is None and any(stage.dear_rows for stage in stages) and all(map(has_price, stages)):
            facts = replace(facts, whole_rows=False)
        return Evaluator(network, plan, facts, stages)

    def stream(self, tokens_N: np.ndarray) -> np.ndarray:
        """See ``stream_of``."""
        return stream_of(self, tokens_N)


def stages_of(ngram: Counts, ttt: Adaptation, mixer: Mixture, facts: Facts) -> list[Stage]:
    """Experts and mixer. Raises ConfigError where they do not fit each other or the stream."""
    experts = [*ngram.stages(facts), *ttt.stages(facts)]
    return [*experts, *in_turn(mixer.stage(facts, len(experts)))]


def apart(plan: RoundPlan) -> bool:
    """See ``Facts``."""
    return not isinstance(plan.lane_starts, Sequence)


def embedding_of(model: Model) -> np.ndarray:
    """The vectors of the tokens that the model begins with, float64 [V, D]."""
    (name,) = (name for name, spec in model.param_specs().items() if spec.kind == "embedding")
    return model.state_dict()[name].detach().double().cpu().numpy()


def stream_of(terms: Terms, tokens_N: np.ndarray) -> np.ndarray:
    """The part of ``tokens_N`` that is scored: all of it, unless the method truncates as published.

    Raises DataError for a stream too short to score or with ids outside the vocabulary.
    """
    if terms.method.official_truncation:
        tokens_N = tokens_N[: official_length(len(tokens_N), terms.method.window)]
    if len(tokens_N) < 2:
        raise DataError(f"the stream to score has {len(tokens_N)} usable tokens; two are the least")
    largest = int(tokens_N.max())
    if largest >= terms.tokenizer.vocab_size:
        raise DataError(f"token id {largest} lies outside the vocabulary of {terms.tokenizer.vocab_size}")
    return tokens_N


def evaluation_of(model: Model, tokenizer: Tokenizer, method: Method) -> Evaluation:
    """The evaluation of a live model as it is: no adaptation, no counts. ``method`` says how it is windowed."""
    metric: Literal["raw", "table"] = tokenizer.metric  # type: ignore[attr-defined]
    check_metric(method, metric)
    device = next((str(p.device) for p in model.parameters()), "cpu")
    return Evaluation(FixedNetwork(model), tokenizer, method, metric, device=device)


def weights_for(ttt: Adaptation, network: ModelNetwork) -> ModelNetwork:
    """A fork of ``network`` as ``ttt`` wants its model. Raises ConfigError where there is nothing to untie."""
    own = network.fork()
    if ttt.untie and not untie_recurrence(own.model):  # type: ignore[arg-type]
        raise ConfigError("ttt.untie: no layer of this model is visited twice with the same matrices")
    return own


def check_cadence(method: Method, network: Network) -> None:
    """Raise ConfigError where blocks of positions would lie across the moment at which the network changes."""
    if network.cadence is not None and network.cadence % method.stride:
        raise ConfigError(
            f"ttt.chunk_tokens: {network.cadence} is no multiple of {method.stride}: eval={method.name} predicts that "
            "many positions together, and they would not end where a chunk does"
        )


def check_ranks(method: Method, network: Network, apart: bool, world: int) -> None:
    """Raise ConfigError for more ranks than have anything to do."""
    if world > method.lanes and (network.remembers or apart):
        lanes = "lane is" if method.lanes == 1 else "lanes are"
        raise ConfigError(
            f"eval_ranks: {world}; what is known of a lane with eval={method.name} stays on one rank, and "
            f"{method.lanes} {lanes} beside each other here, so that the others would do nothing"
        )


def check_metric(method: Stated, metric: str) -> None:
    """Raise ConfigError for the published truncation with the raw metric, which counts every byte."""
    if method.official_truncation and metric != "table":
        raise ConfigError(
            "eval.official_truncation: true drops the stream's tail and is only for a published vocabulary "
            f"(metric table); this tokenizer's metric is {metric}"
        )


def score_stream(
    evaluation: Evaluation,
    tokens_N: np.ndarray,
    *,
    split: str,
    subset: bool,
    valid: bool = False,
    target_bytes_N: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Score:
    """Score ``tokens_N`` in this process. For dev scores; a run's final score comes from ``score_sealed``.

    ``target_bytes_N``: see ``byte_counts``.
    """
    started = time.perf_counter()
    tokens_N = evaluation.stream(tokens_N)
    evaluator = evaluation.evaluator(len(tokens_N))
    scorer = Scorer(tokens_N, evaluator.plan.lane_starts)
    evaluator.run(scorer, scorer.first_tokens, under(split, progress))
    return make_score(
        evaluation,
        tokens_N,
        scorer.nll_nats.values_N,
        scorer.sums.values_N,
        split=split,
        subset=subset,
        seconds=time.perf_counter() - started,
        valid=valid,
        side_bits=evaluator.plan.side_bits + scorer.side_bits,
        target_bytes_N=target_bytes_N,
        traces=evaluator.chain.traces,
    )


def byte_counts(terms: Terms, tokens_N: np.ndarray, target_bytes_N: np.ndarray | None = None) -> np.ndarray:
    """Bytes of each target ``tokens_N[1:]``: int64 [N-1], by the tokenizer's rule or as given.

    ``target_bytes_N`` are counts that came with the text (``Dataset.sidecar_target_bytes``), one a target; they
    may go on after the end of a truncated stream. Raises DataError where they end before it.
    """
    if target_bytes_N is None:
        return terms.tokenizer.byte_lengths(tokens_N)
    targets = len(tokens_N) - 1
    if len(target_bytes_N) < targets:
        raise DataError(f"byte counts for {len(target_bytes_N):,} targets; the stream has {targets:,}")
    return np.asarray(target_bytes_N[:targets], dtype=np.int64)


def make_score(
    terms: Terms,
    tokens_N: np.ndarray,
    nll_nats_N: np.ndarray,
    sum_p_N: np.ndarray,
    *,
    split: str,
    subset: bool,
    seconds: float,
    valid: bool,
    side_bits: float = 0.0,
    target_bytes_N: np.ndarray | None = None,
    traces: tuple[SignalTrace, ...] = (),
) -> Score:
    """The record of one code length, from the scores of the targets ``tokens_N[1:]`` and the sums of their rows.

    ``claimed_bpb`` is what the numbers say as they stand; ``renormalised_bpb`` what they cost once each row is divided
    by its sum, as a decoder would have to; it and the sums are NaN where rows were not made whole. ``val_bpb`` is the
    claim with ``side_bits``. ``target_bytes_N``: see ``byte_counts``. Raises ValueError where a target has no score.
    """
    bytes_N = byte_counts(terms, tokens_N, target_bytes_N)
    side_nats = side_bits * math.log(2)
    renormalised = math.nan
    if not np.isnan(sum_p_N).all():
        renormalised = bits_per_byte(nll_nats_N + np.log(sum_p_N), bytes_N, side_bits)
    return Score(
        val_loss=(float(nll_nats_N.sum(dtype=np.float64)) + side_nats) / len(nll_nats_N),
        val_bpb=bits_per_byte(nll_nats_N, bytes_N, side_bits),
        side_bits=side_bits,
        sum_p_mean=float(sum_p_N.mean()),
        sum_p_max=float(sum_p_N.max()),
        claimed_bpb=bits_per_byte(nll_nats_N, bytes_N),
        renormalised_bpb=renormalised,
        method="+".join((terms.method.name, *terms.beside)),
        window=terms.method.window,
        stride=terms.method.stride,
        metric=terms.metric,
        split=split,
        subset=subset,
        tokens=len(nll_nats_N),
        bytes=int(bytes_N.sum(dtype=np.int64)),
        seconds=seconds,
        valid=valid,
        traces=traces,
    )
