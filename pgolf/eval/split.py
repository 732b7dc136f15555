"""Scores of a run in its own process: of float weights, and of any evaluation on a split of its text."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pgolf.core.protocols import Model, Progress
from pgolf.core.results import Score
from pgolf.data.dataset import Dataset
from pgolf.eval.evaluation import Evaluation, evaluation_of, score_stream
from pgolf.eval.non_overlapping import NonOverlapping
from pgolf.eval.sample import evenly_spread


def plain_windows(cfg: Mapping[str, Any]) -> NonOverlapping:
    """The non-overlapping method at the evaluation window: for scores before and right after quantization."""
    size = cfg["size"]
    return NonOverlapping(
        window=size["eval_window"],
        batch_windows=size["eval_batch"],
        lanes=1,
        official_truncation=False,
    )


def float_evaluation(cfg: Mapping[str, Any], model: Model, state: Mapping[str, Tensor], dataset: Dataset) -> Evaluation:
    """Non-overlapping evaluation of the weights ``state`` in a copy of ``model``."""
    twin = copy.deepcopy(model)
    twin.load_state_dict(dict(state))
    twin.eval().requires_grad_(False)
    return evaluation_of(twin, dataset.tokenizer, plain_windows(cfg))


def score_split(
    cfg: Mapping[str, Any],
    evaluation: Evaluation,
    dataset: Dataset,
    split: str,
    *,
    sample: int | None = None,
    progress: Progress | None = None,
) -> Score:
    """Score a split: all of it, the budget's slice, or ``sample`` tokens spread over that."""
    limit = cfg["budget"]["subset_tokens"]
    stream_N = dataset.stream(split, limit)
    target_bytes_N = dataset.sidecar_target_bytes(split, limit)
    if sample is not None:
        positions = evenly_spread(stream_N, sample, evaluation.method.window)
        stream_N = stream_N[positions]
        target_bytes_N = None if target_bytes_N is None else target_bytes_N[positions[1:] - 1]
    return score_stream(
        evaluation,
        stream_N,
        split=split,
        target_bytes_N=target_bytes_N,
        subset=len(stream_N) < dataset.facts[split].tokens,
        progress=progress,
    )
