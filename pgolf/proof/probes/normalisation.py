"""Probe (a): before a token is scored, one distribution over all tokens exists, and it sums to 1.

At sampled positions every vocabulary entry is obtained through the path that scores the target. Where that path
reads its number out of a full distribution, the distribution is taken from the very same call. Where it does
not (an expert's fused ``score``, an evaluator that scores in its own way), it is called once per candidate token,
as if that were the target; that is what exposes a score that depends on which token occurred.

Strata: cold start, middle and end of the stream, document starts, and the windows of highest gain (lowest cost
per token). Shapes: B windows, K kept positions, V vocabulary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pgolf.core.results import ProbeResult
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.windows import Window, batches
from pgolf.proof.context import Context, Verdict

LETTER, NAME = "a", "normalisation"
SUM_TOLERANCE = 1e-4
ENTRY_TOLERANCE = 1e-6
REPORTED_TOLERANCE = 1e-4  # windows are batched differently here than in the run
ENOUGH_POSITIONS = 2000
LEAST_POSITIONS = 200
LEAST_CANDIDATE_POSITIONS = 8
_CANDIDATE_ROWS_TOKENS = 4096
_HIGHEST_GAIN = 200


@dataclass
class _Found:
    """Extremes over everything looked at."""

    seen: set[int] = field(default_factory=set)
    candidate_positions: int = 0
    smallest_sum: float = np.inf
    largest_sum: float = -np.inf
    smallest_entry: float = np.inf
    entry_error: float = 0.0
    reported_error: float = 0.0
    not_numbers: int = 0
    strata: dict[str, int] = field(default_factory=dict)

    @property
    def positions(self) -> int:
        """Distinct positions looked at; a window may belong to several strata."""
        return len(self.seen)

    def sums(self, sums: Tensor, smallest: float) -> None:
        self.not_numbers += int(torch.isnan(sums).sum())
        self.smallest_sum = min(self.smallest_sum, float(sums.min()))
        self.largest_sum = max(self.largest_sum, float(sums.max()))
        self.smallest_entry = min(self.smallest_entry, smallest)


def probe(context: Context, seconds: float) -> ProbeResult:
    verdict, found = Verdict(LETTER, NAME), _Found()
    positions = len(context.tokens_N) - 1
    own_path = False
    for stratum, chunk, windows in _strata(context):
        if found.positions >= LEAST_POSITIONS and verdict.seconds > seconds / 2:
            break
        if found.positions >= ENOUGH_POSITIONS and stratum in found.strata:
            continue
        evaluator = _loaded(context, chunk)
        for batch in batches(windows, context.evaluation.method.batch_windows):
            own_path |= _look(evaluator, batch, context.sealed.nll_nats_N, found, stratum)
    if own_path:
        _call_per_candidate(context, found, verdict, seconds)
    _judge(verdict, found, own_path, positions)
    return verdict.result(
        f"{found.positions} positions sum to 1 within {max(found.largest_sum - 1, 1 - found.smallest_sum):.1e}"
    )


def _judge(verdict: Verdict, found: _Found, own_path: bool, positions: int) -> None:
    verdict.record(
        positions=found.positions,
        positions_called_per_candidate=found.candidate_positions,
        strata=found.strata,
        smallest_sum=found.smallest_sum,
        largest_sum=found.largest_sum,
        smallest_entry=found.smallest_entry,
        largest_entry_error_nats=found.entry_error,
        largest_error_against_reported_nats=found.reported_error,
    )
    verdict.require(
        found.smallest_sum >= 1 - SUM_TOLERANCE and found.largest_sum <= 1 + SUM_TOLERANCE and not found.not_numbers,
        f"the probabilities of one position sum to between {found.smallest_sum:.6g} and {found.largest_sum:.6g}, "
        "not to 1",
    )
    verdict.require(found.smallest_entry >= 0, f"a probability of {found.smallest_entry:.3g} is negative")
    verdict.require(
        found.entry_error <= ENTRY_TOLERANCE,
        f"the score differs by up to {found.entry_error:.3g} nats from the distribution's entry for the same token",
    )
    verdict.require(
        found.reported_error <= REPORTED_TOLERANCE,
        f"the distribution's entry differs by up to {found.reported_error:.3g} nats from what the sealed process "
        "scored",
    )
    least = min(LEAST_POSITIONS, positions)
    verdict.require(
        found.positions >= least, f"not enough looked at: {found.positions} positions, {least} are the least"
    )
    least = min(LEAST_CANDIDATE_POSITIONS, positions)
    verdict.require(
        not own_path or found.candidate_positions >= least,
        f"not enough looked at: {found.candidate_positions} positions candidate by candidate, {least} are the least",
    )


def _loaded(context: Context, chunk: int) -> Evaluator:
    """An evaluator in the state of the chunk's start that holds the chunk's tokens."""
    evaluator = context.replay.fork_at(chunk)
    evaluator.load(context.replay.chunks[chunk])
    return evaluator


def _strata(context: Context) -> list[tuple[str, int, list[Window]]]:
    """(stratum, chunk, windows) in the order of looking."""
    replay, method = context.replay, context.evaluation.method
    plans = {chunk: method.plan(*replay.positions(chunk)) for chunk in replay.chosen}
    plans = {chunk: plan for chunk, plan in plans.items() if plan}
    if not plans:
        return []
    middle = sorted(plans)[len(plans) // 2]
    plan, first, last = plans[middle], min(plans), max(plans)
    strata = [("cold start", first, plans[first][:1])]
    strata.append(("middle", middle, plan[len(plan) // 2 : len(plan) // 2 + 4]))
    strata.append(("end", last, plans[last][-2:]))
    starts, gains = [], []
    for chunk, windows in plans.items():
        is_start = context.tokens_N == context.evaluation.tokenizer.bos_id
        with_start = [w for w in windows if is_start[w.first_scored : w.stop].any()]
        starts.append(("document starts", chunk, with_start[:4]))
        cost_N = np.nan_to_num(context.sealed.nll_nats_N[: len(context.tokens_N) - 1], nan=np.inf)
        in_chunk = np.concatenate([np.arange(w.first_scored, w.stop) for w in windows])
        best = set(in_chunk[np.argsort(cost_N[in_chunk])[: _HIGHEST_GAIN // len(plans)]].tolist())
        by_hits = sorted(windows, key=lambda w: -len(best & set(range(w.first_scored, w.stop))))
        gains.append(("highest gain", chunk, by_hits[:6]))
    strata += [item for item in starts + gains if item[2]]
    strata += [("spread", chunk, windows[1:-1:7]) for chunk, windows in plans.items() if windows[1:-1:7]]
    return strata


def _look(
    evaluator: Evaluator, windows: tuple[Window, ...], reported_N: np.ndarray, found: _Found, stratum: str
) -> bool:
    """Compare sums and entries of one batch; true where the path that scores shows no distribution."""
    inputs_BT, targets_BK = evaluator.inputs(windows)
    with torch.inference_mode():
        logp_BK, _, logp_BKV = evaluator.score(inputs_BT, targets_BK)
        own_path = logp_BKV is None or type(evaluator).score is not Evaluator.score
        if logp_BKV is None:
            logp_BKV = evaluator.distribution(inputs_BT, targets_BK.shape[1])
    sums_BK, smallest = _sums(logp_BKV)
    found.sums(sums_BK, smallest)
    entry_BK = logp_BKV.gather(-1, targets_BK.unsqueeze(-1)).squeeze(-1)
    found.entry_error = max(found.entry_error, float((entry_BK - logp_BK).abs().max()))
    reported_BK = np.stack([reported_N[w.first_scored : w.stop] for w in windows])
    difference_BK = np.abs(-reported_BK - logp_BK.double().cpu().numpy())
    if not np.isnan(difference_BK).all():
        found.reported_error = max(found.reported_error, float(np.nanmax(difference_BK)))
    found.seen.update(position for w in windows for position in range(w.first_scored, w.stop))
    found.strata[stratum] = found.strata.get(stratum, 0) + targets_BK.numel()
    return own_path


def _sums(logp_BKV: Tensor) -> tuple[Tensor, float]:
    """Σ_v p_v in float64 for every position, and the smallest p."""
    sums, smallest = [], np.inf
    for logp_KV in logp_BKV:
        p_KV = logp_KV.double().exp()
        sums.append(p_KV.sum(dim=-1))
        smallest = min(smallest, float(p_KV.min()))
    return torch.stack(sums), smallest


def _call_per_candidate(context: Context, found: _Found, verdict: Verdict, seconds: float) -> None:
    """Call the scoring path once per token of the vocabulary, on short windows so that many positions fit."""
    cost = None
    for chunk in reversed(context.replay.chosen):  # the latest first: by then there is most to have learnt
        if cost is not None and verdict.seconds + cost > seconds:
            break
        evaluator = _loaded(context, chunk)
        first, last = context.replay.positions(chunk)
        length = min(32 if seconds >= 5 else 8, last - first)
        stop = first + length if chunk == 0 else (first + last + length) // 2
        began = time.perf_counter()
        _candidates(evaluator, Window(stop - length, stop - length, stop), found)
        cost = time.perf_counter() - began


def _candidates(evaluator: Evaluator, window: Window, found: _Found) -> None:
    inputs_1T, targets_1K = evaluator.inputs([window])
    keep = targets_1K.shape[1]
    with torch.inference_mode():
        full_KV = evaluator.distribution(inputs_1T, keep)[0]
        vocab_size = full_KV.shape[-1]
        total_K = torch.zeros(keep, dtype=torch.float64, device=full_KV.device)
        rows = max(1, _CANDIDATE_ROWS_TOKENS // window.length)
        for start in range(0, vocab_size, rows):
            tokens_R = torch.arange(start, min(start + rows, vocab_size), device=inputs_1T.device)
            logp_RK, _, _ = evaluator.score(inputs_1T.expand(len(tokens_R), -1), tokens_R.unsqueeze(1).repeat(1, keep))
            total_K += logp_RK.double().exp().sum(dim=0)
            error = float((logp_RK - full_KV[:, tokens_R].T).abs().max())
            found.entry_error = max(found.entry_error, error if error > 1e-5 else 0.0)  # other kernel shape
    found.sums(total_K, 0.0)
    found.candidate_positions += keep
