import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pgolf.core.results import Score
from pgolf.eval.evaluation import evaluation_of, score_stream
from pgolf.eval.split import float_evaluation, plain_windows, score_split
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval.fakes import Bigram

TOKENS, WINDOW = 1000, 16
STREAM_N = np.random.default_rng(0).integers(4, 260, TOKENS).astype(np.uint16)
STREAM_N[0] = 1
BYTES_N = np.random.default_rng(1).integers(0, 9, TOKENS - 1)


class Text:
    """A dataset of one split; with ``sidecars`` the bytes of its targets came with the text."""

    tokenizer = ByteTokenizer()

    def __init__(self, sidecars=False):
        self.sidecars = sidecars
        self.facts = {"dev": SimpleNamespace(tokens=TOKENS)}

    def stream(self, split, limit=None):
        assert split == "dev"
        return STREAM_N[:limit]

    def sidecar_target_bytes(self, split, limit=None):
        return BYTES_N[: len(self.stream(split, limit)) - 1] if self.sidecars else None


def cfg(subset_tokens=None):
    return {"size": {"eval_window": WINDOW, "eval_batch": 4}, "budget": {"subset_tokens": subset_tokens}}


@pytest.fixture(scope="module")
def evaluation():
    return evaluation_of(Bigram(260), Text.tokenizer, plain_windows(cfg()))


def test_plain_windows_lie_side_by_side_at_the_evaluation_window():
    method = plain_windows(cfg())
    assert (method.window, method.stride, method.batch_windows) == (WINDOW, WINDOW, 4)
    assert not method.official_truncation


def same(score: Score, other: Score) -> bool:
    return (score.val_bpb, score.val_loss, score.tokens, score.bytes) == (
        other.val_bpb,
        other.val_loss,
        other.tokens,
        other.bytes,
    )


def test_a_split_is_scored_whole_and_the_budgets_slice_is_a_subset(evaluation):
    whole = score_split(cfg(), evaluation, Text(), "dev")
    assert same(whole, score_stream(evaluation, STREAM_N, split="dev", subset=False))
    assert not whole.subset and whole.split == "dev"
    part = score_split(cfg(300), evaluation, Text(), "dev")
    assert same(part, score_stream(evaluation, STREAM_N[:300], split="dev", subset=True)) and part.subset


def test_bytes_that_came_with_the_text_are_divided_by(evaluation):
    assert score_split(cfg(), evaluation, Text(sidecars=True), "dev").bytes == BYTES_N.sum()
    assert score_split(cfg(300), evaluation, Text(sidecars=True), "dev").bytes == BYTES_N[:299].sum()


def test_a_sample_is_spread_over_the_split_with_the_bytes_of_its_own_targets(evaluation):
    """Of one document; every fourth window or so, and every token carries as many bytes as its id has digits."""
    digits_N = np.array([len(str(token)) for token in STREAM_N[1:].tolist()])
    text = Text(sidecars=True)
    text.sidecar_target_bytes = lambda split, limit: digits_N
    score = score_split(cfg(), evaluation, text, "dev", sample=256)
    assert score.subset and score.tokens == 255
    starts = np.arange(16) * (TOKENS // WINDOW) // 16 * WINDOW
    chosen_N = STREAM_N[(starts[:, None] + np.arange(WINDOW)).ravel()]
    assert score.bytes == sum(len(str(token)) for token in chosen_N[1:].tolist())
    assert score.val_loss == score_stream(evaluation, chosen_N, split="dev", subset=True).val_loss


def test_progress_is_told_under_the_splits_name(evaluation):
    seen = []
    score_split(cfg(), evaluation, Text(), "dev", progress=lambda *told: seen.append(told))
    assert seen[-1] == ("dev", TOKENS - 1, TOKENS - 1)


def test_float_weights_are_scored_in_a_copy_of_the_model():
    model = Bigram(260).train()
    before, state = copy.deepcopy(model.state_dict()), Bigram(260, seed=1).state_dict()
    evaluation = float_evaluation(cfg(), model, state, Text())
    found = score_stream(evaluation, STREAM_N, split="dev", subset=False)
    other = evaluation_of(Bigram(260, seed=1), Text.tokenizer, plain_windows(cfg()))
    assert same(found, score_stream(other, STREAM_N, split="dev", subset=False))
    assert torch.equal(model.table, before["table"]) and model.training and model.table.requires_grad
