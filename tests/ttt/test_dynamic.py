"""Dynamic evaluation. The reference makes a second pass over each chunk after it was scored, with torch's optimizer.

Shapes: N tokens of the stream, V vocabulary.
"""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.step.feed import Feed
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Batch, Facts, Span
from pgolf.eval.coder import Informed
from pgolf.eval.streaming import StreamingNetwork
from pgolf.proof.codec import decode, encode
from pgolf.run.rules import check
from pgolf.ttt.none import NoAdaptation
from tests.eval.fakes import Counting
from tests.helpers import BOS, VOCAB, tiny_settings
from tests.proof.making import network_evaluation, pretend_audit, pretend_sealed, stream_of
from tests.ttt.making import BLOCK, WINDOW, adaptation, evaluator_of, made, put, rows_of, same, scored, stream

PLAIN = {"chunk_tokens": 64, "lr": 0.2, "clip": None, "pull": 0.0, "keep": 0.0}
EVERYTHING = {
    "trains": ["all", "no_first_1"],
    "restart": True,
    "byte_weighted": True,
    "clip": 0.5,
    "pull": 0.1,
    "keep": 0.3,
    "temperature": 0.95,
}


def dynamic(**changes):
    return adaptation("dynamic", **PLAIN | changes)


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    """Documents that begin inside of chunks, at their last target and at their first."""
    tokens_N = stream(200)
    tokens_N[tokens_N == BOS] = 5
    tokens_N[[0, 20, 64, 129, 133]] = BOS
    return tokens_N


def by_two_passes(model, tokens_N, ttt):
    """Prices of the targets: feed the blocks, then all of the chunk once more from what was remembered before it."""
    model, targets, chunk = copy.deepcopy(model).requires_grad_(True), len(tokens_N) - 1, ttt.chunks.chunk_tokens
    tokens_N = torch.from_numpy(tokens_N.astype(np.int64))
    weights, start = list(model.parameters()), [weight.detach().clone() for weight in model.parameters()]
    optimizer, feed, nll_nats = torch.optim.SGD(weights, lr=ttt.rate.lr), Feed(model, WINDOW, BLOCK), []
    for first in range(0, targets, chunk):
        before, last = feed.on(model), min(first + chunk, targets)
        for begin in range(first, last, BLOCK):
            end = min(begin + BLOCK, last)
            with torch.no_grad():
                logp_KV = model.project(feed.hidden(tokens_N[None, begin:end]))[0].log_softmax(-1)
            feed.commit()
            nll_nats += (-logp_KV.gather(-1, tokens_N[begin + 1 : end + 1, None])).flatten().tolist()
        if last == first + chunk < targets:
            optimizer.zero_grad()
            x_1ND, _ = before.traced(tokens_N[None, first:last], ())
            F.cross_entropy(model.project(x_1ND)[0], tokens_N[first + 1 : last + 1]).backward()
            if ttt.chunks.clip is not None:
                torch.nn.utils.clip_grad_norm_(weights, ttt.chunks.clip)
            optimizer.step()
            put(weights, [w + ttt.chunks.pull * (w0 - w) for w, w0 in zip(weights, start, strict=True)])
    return np.array(nll_nats)


@pytest.mark.parametrize("changes", [{}, {"chunk_tokens": 32, "clip": 0.5, "pull": 0.1}], ids=str)
def test_it_is_a_second_pass_over_the_chunk_up_to_rounding(model, tokens_N, changes):
    """The sums of the head's gradient are in another order there."""
    ttt = dynamic(**changes)
    found = scored(model, tokens_N, ttt, method="streaming")
    np.testing.assert_allclose(found, by_two_passes(model, tokens_N, ttt), atol=2e-5)
    fixed = scored(model, tokens_N, NoAdaptation(), method="streaming")
    chunk = ttt.chunks.chunk_tokens
    assert np.array_equal(found[:chunk], fixed[:chunk]) and np.abs(found - fixed).max() > 0.01


def test_the_pass_that_scores_is_the_only_one(model, tokens_N, monkeypatch):
    with_gradients, traced = [], StreamingNetwork.traced

    def noted(network, batch, wanted=()):
        with_gradients.append(torch.is_grad_enabled())
        return traced(network, batch, wanted)

    monkeypatch.setattr(StreamingNetwork, "traced", noted)
    scored(model, tokens_N, dynamic(), method="streaming", batch=8)
    # The last chunk is short, and its end as well: nothing is learnt from them.
    assert with_gradients == [True] * 3 + [False]


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N, method):
    for changes in (EVERYTHING, {**EVERYTHING, "chunk_tokens": 96, "trains": ["all"]}):
        ttt = dynamic(**changes)
        together = rows_of(evaluator_of(model, tokens_N, ttt, batch=8, workers=2, method=method), tokens_N)
        stops = [1, 33, 64, 65, 97, 150]
        assert same(rows_of(evaluator_of(model, tokens_N, ttt, batch=1, method=method), tokens_N, stops), together)


@pytest.mark.parametrize(
    "words",
    [
        ["arch=pr860"],
        ["arch=mamba_hybrid", "arch/addon=[canon,smear_gate]"],
        ["arch/mlp=polyglu_routed", "arch.mlp.routing=causal_mean", "arch/attention=documents"],
    ],
    ids=" ".join,
)
def test_parts_with_other_memories_have_the_same_bits_in_pieces(words):
    model, tokens_N = made(*words), stream(140)
    together = rows_of(evaluator_of(model, tokens_N, dynamic(), batch=8, method="streaming"), tokens_N)
    told = rows_of(evaluator_of(model, tokens_N, dynamic(), batch=1, method="streaming"), tokens_N, [40, 65])
    assert same(told, together)


def test_a_text_is_decoded_to_what_was_encoded(model, tokens_N):
    tokens_N, ttt = tokens_N[:100], dynamic(keep=0.5)
    body = encode(evaluator_of(model, tokens_N, ttt, batch=8, workers=2, method="streaming"), tokens_N)
    evaluator = evaluator_of(model, tokens_N, ttt, method="streaming")
    first_tokens = Informed(tokens_N, evaluator.plan.lane_starts).first_tokens
    assert np.array_equal(decode(evaluator, first_tokens, body), tokens_N[1:])
    bits = scored(model, tokens_N, ttt, method="streaming").sum() / np.log(2)
    assert abs(8 * len(body) - bits) < 64


def test_what_comes_later_changes_no_score(model, tokens_N):
    ttt = dynamic(**EVERYTHING)
    before = scored(model, tokens_N, ttt, method="streaming")
    for place in (33, 64, 130):
        other_N = tokens_N.copy()
        other_N[place + 1 :] = (other_N[place + 1 :] * 7 + 3) % (VOCAB - 1) + 1
        assert np.array_equal(scored(model, other_N, ttt, method="streaming")[:place], before[:place])


def shown(network, tokens_N, starts):
    """Rows of the blocks that begin there, each observed, and the weights after them."""
    rows = []
    for start in starts:
        token_N = torch.from_numpy(tokens_N[start : start + BLOCK + 1].astype(np.int64))
        batch = Batch((Span(0, start, start, start + BLOCK),), token_N[None, :-1], BLOCK)
        rows.append(network.log_probs(batch).logp_BKV)
        network.observe(batch, token_N[None, 1:])
    return [*rows, *(weight.detach().clone() for weight in network.weights)]


def test_a_fork_in_the_middle_of_a_chunk_goes_on_as_its_original_would(model, tokens_N):
    network = evaluator_of(model, tokens_N, dynamic(**EVERYTHING), method="streaming").network
    shown(network, tokens_N, (0, 32, 64))
    before, fork = shown(network, tokens_N, ()), network.fork()
    after = shown(fork, tokens_N, (96, 128))
    assert all(map(torch.equal, shown(network, tokens_N, ()), before)) and not torch.equal(after[-1], before[-1])
    assert all(map(torch.equal, shown(network, tokens_N, (96, 128)), after))


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_no_rate_or_the_whole_way_back_is_the_network_as_it_is(model, tokens_N, method):
    fixed = scored(model, tokens_N, NoAdaptation(), method=method)
    for changes in ({"lr": 0.0, "pull": 0.1}, {"pull": 1.0}):
        assert np.array_equal(scored(model, tokens_N, dynamic(**changes), method=method), fixed)


def test_where_a_document_begins_what_was_learnt_is_forgotten(model):
    """After that chunk the weights are one step of the clipped length from the artifact's, or none at all."""
    tokens_N = np.where(stream(200) == BOS, 5, stream(200)).astype(np.uint16)
    for place, restart, length in ((100, True, 0.2 * 0.01), (128, True, 0.0), (100, False, None)):
        begun_N = tokens_N.copy()
        begun_N[place] = BOS
        ttt = dynamic(restart=restart, clip=0.01)
        network = evaluator_of(model, begun_N, ttt, method="streaming").network
        weights = shown(network, begun_N, (0, 32, 64, 96))[4:]
        norms = [(one - own).norm() for one, own in zip(weights, model.parameters(), strict=True)]
        moved = float(torch.stack(norms).norm())
        assert abs(moved - length) < 1e-5 if length is not None else moved > 1.2 * 0.2 * 0.01


def test_the_unadapted_row_is_that_of_the_network_without_adaptation(model, tokens_N):
    adapted = evaluator_of(model, tokens_N, dynamic(unadapted_expert=True, keep=0.0), method="streaming")
    half = evaluator_of(model, tokens_N, dynamic(keep=0.5), method="streaming")
    fixed = evaluator_of(model, tokens_N, NoAdaptation(), method="streaming")
    for start in (0, 32, 64, 96, 128):
        token_N = torch.from_numpy(tokens_N[start : start + BLOCK + 1].astype(np.int64))
        batch = Batch((Span(0, start, start, start + BLOCK),), token_N[None, :-1], BLOCK)
        own, kept, rows = (
            evaluator.network.log_probs(batch, names)
            for evaluator, names in ((adapted, ("unadapted", "entropy")), (half, ()), (fixed, ()))
        )
        assert torch.equal(own.signals["unadapted"], rows.logp_BKV.exp())
        mean_BKV = (own.logp_BKV.exp() + rows.logp_BKV.exp()) / 2
        torch.testing.assert_close(kept.logp_BKV.exp(), mean_BKV, atol=1e-6, rtol=1e-5)
        for evaluator in (adapted, half, fixed):
            evaluator.network.observe(batch, token_N[None, 1:])
    assert not torch.allclose(own.logp_BKV, rows.logp_BKV)
    assert [stage.name for stage in dynamic(unadapted_expert=True).stages(None)] == ["unadapted"]


def test_rows_handed_over_before_their_targets_have_the_committed_scores():
    evaluation = network_evaluation(ttt=dynamic(chunk_tokens=16, keep=0.3))
    tokens_N = stream_of(evaluation)
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=30)
    assert audit.complete and np.abs(audit.difference_n).max() < 1e-6
    plain = pretend_sealed(dataclasses.replace(evaluation, ttt=NoAdaptation()), tokens_N)
    assert not np.array_equal(sealed.nll_nats_N, plain.nll_nats_N)


def test_what_does_not_fit_is_refused(model, tokens_N):
    with pytest.raises(ConfigError, match=r"ttt: dynamic trains through the pass that scored, of which eval\.lanes=3"):
        evaluator_of(model, tokens_N, dynamic(), lanes=3)
    with pytest.raises(ConfigError, match="ttt: dynamic trains the weights of a model, which Counting has not"):
        dynamic().wrap(Counting(VOCAB), Facts(VOCAB, 1, 10))
    with pytest.raises(ConfigError) as refused:
        check(tiny_settings("ttt=dynamic", "eval=streaming", "ttt.chunk_tokens=16"))
    problem = "ttt.chunk_tokens: 16 is no multiple of 32: eval=streaming"
    assert [found for found in refused.value.problems if problem in found]
