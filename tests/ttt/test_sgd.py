"""Adaptation by SGD. The reference takes one window at a time, and torch's own optimizer.

Shapes: N tokens of the stream, V vocabulary.
"""

import copy
import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.step.feed import Feed, unknown_parts
from pgolf.artifact import container
from pgolf.config.compose import compose, settings
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Batch, Facts
from pgolf.core.results import ParamSpec
from pgolf.eval.blocks import Tape
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.scorer import Scorer
from pgolf.eval.sealed import score_sealed
from pgolf.eval.streaming import Streaming
from pgolf.proof.audit import audit_sealed
from pgolf.run.rules import check
from pgolf.ttt.none import NoAdaptation
from tests.eval.fakes import AllRows, Bigram, Counting, Lanes
from tests.helpers import VOCAB, tiny_settings
from tests.proof.making import DOCUMENTS, network_evaluation, pretend_audit, pretend_sealed, stream_of, write_artifact
from tests.ttt.making import (
    BLOCK,
    STRIDE,
    WINDOW,
    by_hand,
    evaluator_of,
    made,
    rows_of,
    run,
    same,
    scored,
    sgd,
    stream,
)

PRESETS = options(conf_dir(), "arch")


def descent(ttt):
    return lambda weights: torch.optim.SGD(weights, lr=1.0, momentum=ttt.momentum)


@pytest.fixture(scope="module")
def model():
    return made()


# --- what is learnt, and when -----------------------------------------------------------------------------------


SETTINGS = [
    {},
    {"chunk_tokens": 96},
    {"chunk_tokens": 16, "window": 48, "momentum": 0.0},
    {"chunk_tokens": 16, "clip": 0.05, "final_lr": 0.0},
    {"chunk_tokens": 64, "epochs": 1, "clip": None, "final_lr": 1.0, "lr": 0.02, "momentum": 0.9},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
@pytest.mark.parametrize("tokens", [193, pytest.param(300, marks=pytest.mark.slow)])
def test_each_chunk_is_scored_and_then_trained_on(model, tokens, changes):
    tokens_N, ttt = stream(tokens), sgd(**changes)
    found = scored(model, tokens_N, ttt)
    np.testing.assert_allclose(found, by_hand(model, tokens_N, ttt, descent(ttt)), atol=2e-4)
    fixed = scored(model, tokens_N, sgd(epochs=0))
    assert np.array_equal(found[:WINDOW], fixed[:WINDOW]) and np.abs(found - fixed).max() > 0.01


@torch.no_grad()
def by_feed(model, tokens_N, chunk_tokens, lr):
    """Prices of the targets: feed a block, train on a whole chunk in one window, go on with what is remembered."""
    model, targets = copy.deepcopy(model).requires_grad_(True).eval(), len(tokens_N) - 1
    tokens_N = torch.from_numpy(tokens_N.astype(np.int64))
    optimizer, feed, nll_nats = torch.optim.SGD(model.parameters(), lr=lr), Feed(model, WINDOW, BLOCK), []
    for start in range(0, targets, BLOCK):
        stop = min(start + BLOCK, targets)
        logp_KV = model.project(feed.hidden(tokens_N[None, start:stop]))[0].log_softmax(-1)
        feed.commit()
        nll_nats += (-logp_KV.gather(-1, tokens_N[start + 1 : stop + 1, None])).flatten().tolist()
        if stop % chunk_tokens == 0 and stop < targets:
            optimizer.zero_grad()
            with torch.enable_grad():
                logits_TV = model.logits(tokens_N[None, stop - chunk_tokens : stop])[0]
                F.cross_entropy(logits_TV, tokens_N[stop - chunk_tokens + 1 : stop + 1]).backward()
            optimizer.step()
    return np.array(nll_nats)


def test_what_is_remembered_stays_as_the_weights_of_its_time_made_it(model):
    tokens_N = stream(300)
    plain = {"epochs": 1, "clip": None, "momentum": 0.0, "final_lr": 1.0}
    for chunk_tokens in (32, 96):
        ttt = sgd(chunk_tokens=chunk_tokens, window=chunk_tokens, lr=0.2, **plain)
        found = scored(model, tokens_N, ttt, method="streaming")
        np.testing.assert_allclose(found, by_feed(model, tokens_N, chunk_tokens, lr=0.2), atol=2e-4)
        fixed = by_feed(model, tokens_N, chunk_tokens, lr=0.0)
        assert np.abs(found - fixed)[:chunk_tokens].max() < 1e-5 < 0.01 < np.abs(found - fixed).max()


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"lr": 0.0}], ids=str)
def test_no_epochs_or_no_rate_is_the_network_as_it_is(model, changes):
    tokens_N = stream(300)
    for method in ("sliding", "streaming"):
        fixed = scored(model, tokens_N, NoAdaptation(), method=method)
        assert np.array_equal(scored(model, tokens_N, sgd(**changes), method=method), fixed)


def test_learning_makes_a_text_that_repeats_cheaper(model):
    tokens_N = np.tile(stream(40), 12)
    fixed, adapted = scored(model, tokens_N, sgd(epochs=0)), scored(model, tokens_N, sgd(lr=0.3))
    half = len(fixed) // 2
    assert adapted[half:].mean() < 0.9 * fixed[half:].mean()


class Watched(Bigram):
    """What was asked of it with gradients on: the inputs, and how many of them were kept."""

    trained_on: ClassVar[list] = []

    def param_specs(self):
        return {"table": ParamSpec("embedding", "embedding", "embedding")}

    def logits(self, ids_BT, keep=None):
        if torch.is_grad_enabled():
            self.trained_on.append((ids_BT.tolist(), keep))
        return super().logits(ids_BT, keep)


def test_every_target_is_trained_on_once_an_epoch_but_those_after_which_nothing_comes():
    tokens_N = stream(193)
    Watched.trained_on.clear()
    scored(Watched(VOCAB), tokens_N, sgd(chunk_tokens=64, epochs=3))  # three chunks exactly
    windows = [tokens_N[first : first + 32].tolist() for first in (0, 32, 64, 96)]
    epochs = [windows[:2]] * 3 + [windows[2:]] * 3
    assert Watched.trained_on == [([window], 32) for epoch in epochs for window in epoch]


def test_a_chunk_shorter_than_the_window_has_the_tokens_before_it_as_context():
    tokens_N = stream(100)
    Watched.trained_on.clear()
    scored(Watched(VOCAB), tokens_N, sgd(chunk_tokens=16, epochs=1))
    places = [(max(0, stop - 32), stop) for stop in range(16, 99, 16)]
    assert Watched.trained_on == [([tokens_N[first:stop].tolist()], 16) for first, stop in places]


# --- the same bits, whoever predicts ----------------------------------------------------------------------------


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
@pytest.mark.parametrize("lane_starts", [(0,), (0, 64, 112)], ids=["one lane", "three lanes"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, lane_starts, changes):
    tokens_N = stream(162)
    plan = Lanes(161, lane_starts, WINDOW, STRIDE)
    together = rows_of(evaluator_of(model, tokens_N, sgd(**changes), plan), tokens_N)
    every = range(0, 161, 1 if changes in SETTINGS[1:3] else 5)  # one long chunk, many short ones
    for stops in (every, np.random.default_rng(0).choice(161, 12, replace=False).tolist()):
        assert same(rows_of(evaluator_of(model, tokens_N, sgd(**changes), plan), tokens_N, stops), together)


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (2, 3), pytest.param(64, 8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("method", "chunk_tokens"), [("sliding", 16), ("sliding", 96), ("streaming", 96)])
def test_batches_and_workers_change_no_bit(model, method, chunk_tokens, batch, workers):
    tokens_N, ttt = stream(230), sgd(chunk_tokens=chunk_tokens)
    found = rows_of(evaluator_of(model, tokens_N, ttt, None, batch, workers, method), tokens_N)
    assert same(found, rows_of(evaluator_of(model, tokens_N, ttt, method=method), tokens_N))


@pytest.mark.parametrize(
    ("changes", "lanes"),
    [({}, 1), ({"window": 64, "momentum": 0.0}, 3), ({"chunk_tokens": 96, "window": 96}, 1)],
    ids=str,
)
def test_behind_a_memory_too(model, changes, lanes):
    tokens_N = stream(150)

    def rows(stops, kind=AllRows):
        evaluator = evaluator_of(model, tokens_N, sgd(**changes), None, 3, 2, "streaming", lanes)
        return rows_of(evaluator, tokens_N, stops, kind)

    together = rows(())
    assert together[0].keys() == set(range(149))
    for stops in (range(149), np.random.default_rng(0).choice(149, 20, replace=False).tolist()):
        assert same(rows(stops), together)
    some = rows((), EverySecondBlock)
    assert 0 < len(some[0]) < 149 and same(some, together)


class EverySecondBlock(AllRows):
    """Wants the rows of no other."""

    def wants(self, block):
        return block.start // BLOCK % 2 == 1


def test_gradients_are_on_whatever_the_caller_has_switched_off(model):
    tokens_N = stream(150)
    expected = scored(model, tokens_N, sgd())
    with torch.no_grad():
        assert np.array_equal(scored(model, tokens_N, sgd()), expected)
        evaluator = evaluator_of(model, tokens_N, sgd())
    with torch.inference_mode():
        assert np.array_equal(run(evaluator, Scorer(tokens_N)).nll_nats.values_N, expected)


def test_what_comes_later_changes_no_score(model):
    tokens_N, ttt = stream(140), sgd(chunk_tokens=16)
    before = scored(model, tokens_N, ttt)
    for place in (1, 47, 48, 63, 64, 65, 138):
        other_N = tokens_N.copy()
        other_N[place + 1 :] = (other_N[place + 1 :] * 7 + 3) % (VOCAB - 1) + 1
        assert np.array_equal(scored(model, other_N, ttt)[:place], before[:place])


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_fork_goes_on_as_its_original_would_and_leaves_it_alone(model, method):
    tokens_N = stream(200)
    evaluator = evaluator_of(model, tokens_N, sgd(momentum=0.9), method=method)
    network = evaluator.network
    blocks = [block for some in evaluator.plan.rounds(Tape([1], [199])) for block in some]

    def show(network, blocks):
        rows = []
        for block in blocks:
            token_T = torch.from_numpy(tokens_N[block.context : block.stop + 1].astype(np.int64))
            batch = Batch((block,), token_T[None, :-1], block.keep)
            rows.append(network.log_probs(batch).logp_BKV)
            network.observe(batch, token_T[None, -block.keep :])
        return [*rows, *(weight.clone() for weight in network.network.model.parameters())]

    show(network, blocks[:5])
    before, fork = show(network, []), network.fork()
    after = show(fork, blocks[5:])
    assert all(map(torch.equal, show(network, []), before)) and not torch.equal(after[-1], before[-1])
    assert all(map(torch.equal, show(network, blocks[5:]), after))


def test_the_network_that_is_wrapped_keeps_its_weights(model):
    before = [weight.clone() for weight in model.parameters()]
    scored(model, stream(200), sgd())
    assert all(map(torch.equal, before, model.parameters()))
    assert not any(weight.requires_grad for weight in model.parameters())


def adapts_alike(preset):
    """Together and one by one; the first stops lie in one chunk, and what is learnt from it is used after it."""
    model = made(f"arch={preset}")
    for route in model.routes:
        model.activate(route)
        tokens_N, ttt = stream(120), sgd(chunk_tokens=32, window=64)
        together = rows_of(evaluator_of(model, tokens_N, ttt), tokens_N)
        assert all(torch.isfinite(weight).all() for weight in together[1])
        stops = [*range(52, 64), 100, 118]
        assert same(rows_of(evaluator_of(model, tokens_N, ttt, batch=1), tokens_N, stops), together)
        if not unknown_parts(model):
            remembered = rows_of(evaluator_of(model, tokens_N, ttt, method="streaming"), tokens_N)
            one_by_one = evaluator_of(model, tokens_N, ttt, batch=1, method="streaming")
            assert same(rows_of(one_by_one, tokens_N, stops), remembered)


@pytest.mark.parametrize("preset", ["pr1204", "mamba_hybrid", "pr1855"])
def test_every_kind_of_layer_adapts_with_the_same_bits(preset):
    adapts_alike(preset)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_architecture_adapts_with_the_same_bits(preset):
    adapts_alike(preset)


# --- proof ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node():
    return tiny_settings("ttt=sgd", "ttt.chunk_tokens=32", "ttt.window=32", "ttt.lr=0.2")["ttt"]


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_rows_handed_over_before_their_targets_have_the_committed_scores(node, method):
    evaluation = network_evaluation(ttt=make(node))
    if method == "streaming":
        streaming = Streaming(window=WINDOW, block=BLOCK, batch_blocks=3, lanes=1, official_truncation=False)
        evaluation = dataclasses.replace(evaluation, method=streaming)
    tokens_N = stream_of(evaluation)[:300]
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=100)
    assert audit.complete and np.abs(audit.difference_n).max() < 1e-5


def test_a_sealed_process_adapts_and_its_audit_passes(node, tmp_path):
    path = write_artifact(tmp_path / "a.pgolf", ttt=node)
    evaluation = evaluation_from(container.read(path))
    tokens_N = stream_of(evaluation, DOCUMENTS)[:300]
    sealed = score_sealed(path, tokens_N, threads=2)
    assert sealed.violations == () and np.array_equal(
        sealed.nll_nats_N, pretend_sealed(evaluation, tokens_N).nll_nats_N
    )
    audit = audit_sealed(path, tokens_N, sealed, evaluation.tokenizer.vocab_size, 40, 10, threads=1)
    assert audit.run.violations == () and audit.complete and np.abs(audit.difference_n).max() < 1e-5
    fixed = pretend_sealed(dataclasses.replace(evaluation, ttt=sgd(epochs=0)), tokens_N)
    assert sealed.nll_nats_N.sum() < fixed.nll_nats_N.sum()


# --- what does not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk_tokens", "window"), [(48, 32), (20, 32), (33, 32)])
def test_a_chunk_that_windows_do_not_fill_is_refused(chunk_tokens, window):
    with pytest.raises(
        ConfigError, match=rf"ttt\.chunk_tokens: {chunk_tokens} is no multiple of ttt\.window, {window}"
    ):
        sgd(chunk_tokens=chunk_tokens, window=window)


@pytest.mark.parametrize("chunk_tokens", [4, 2])
def test_a_chunk_shorter_than_the_stride_is_refused(chunk_tokens):
    evaluation = network_evaluation(ttt=sgd(chunk_tokens=chunk_tokens))
    with pytest.raises(ConfigError, match=rf"ttt\.chunk_tokens: {chunk_tokens} is no multiple of 8: eval=sliding"):
        evaluation.evaluator(100)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["eval=sliding", "ttt.chunk_tokens=8"], "ttt.chunk_tokens: 8 is no multiple of 16: eval=sliding"),
        (["ttt.chunk_tokens=96"], "ttt.chunk_tokens: 96 is no multiple of ttt.window, 64"),
        (["eval=non_overlapping", "ttt.chunk_tokens=32"], "ttt.chunk_tokens: 32 is no multiple of 64: eval=non_"),
        (["eval=streaming", "ttt.chunk_tokens=16"], "ttt.chunk_tokens: 16 is no multiple of 32: eval=streaming"),
        (["ttt.momentum=1.5"], "ttt.momentum: 1.5 is out of range"),
        (["ttt.clip=0"], "ttt.clip: 0 is out of range"),
        (["ttt.chunk_tokens=0"], "ttt.chunk_tokens: 0 is out of range"),
    ],
)
def test_a_run_is_refused_before_it_begins(words, problem):
    with pytest.raises(ConfigError) as refused:
        check(tiny_settings("ttt=sgd", *words))
    assert [found for found in refused.value.problems if problem in found], refused.value.problems


@pytest.mark.parametrize("method", ["sliding", "streaming"])
@pytest.mark.parametrize("size", ["tiny", "laptop", "record"])
def test_the_option_fits_every_size_with_windows_and_with_a_memory(size, method):
    check(settings(compose([f"size={size}", "ttt=sgd", f"eval={method}"])))


def test_a_network_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="ttt: sgd trains the weights of a model, which Counting has not"):
        sgd().wrap(Counting(VOCAB), Facts(VOCAB, 1, 10))
