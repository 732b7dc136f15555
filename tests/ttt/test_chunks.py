"""What all adaptation by gradients offers, whatever its rule. Expected: torch's own optimizer, one window at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Batch
from pgolf.eval.blocks import Tape
from pgolf.ttt.chunks import ChunkTrained
from pgolf.ttt.none import NoAdaptation
from tests.helpers import BOS, VOCAB
from tests.proof.making import network_evaluation, pretend_audit, pretend_sealed, stream_of
from tests.ttt.making import by_hand, evaluator_of, made, rows_of, same, scored, sgd, stream

EXTRAS = [
    {"trains": ["last_1", "scalar"], "pull": 0.1, "keep": 0.4, "temperature": 0.95},
    {"average": 0.8},
    {"restart": True, "byte_weighted": True, "rise": 2.0},
]
# Each of them at once, so that what is costly is shown once.
EVERYTHING = {
    "trains": ["all", "no_first_1"],
    "restart": True,
    "byte_weighted": True,
    "average": 0.8,
    "pull": 0.1,
    "keep": 0.3,
    "temperature": 0.95,
    "temperature_per_token": True,
    "rise": 2.0,
}


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    """Documents that begin inside of chunks, at their last target and at their first."""
    tokens_N = stream(161)
    tokens_N[tokens_N == BOS] = 5
    tokens_N[[0, 20, 64, 97, 101]] = BOS
    return tokens_N


def descent(ttt):
    return lambda weights: torch.optim.SGD(weights, lr=1.0, momentum=ttt.momentum)


@pytest.mark.parametrize("changes", EXTRAS, ids=str)
def test_each_is_what_the_slow_way_gives_and_matters(model, tokens_N, changes):
    ttt = sgd(**changes)
    found = scored(model, tokens_N, ttt)
    np.testing.assert_allclose(found, by_hand(model, tokens_N, ttt, descent(ttt)), atol=2e-4)
    assert np.abs(found - scored(model, tokens_N, sgd())).max() > 1e-3


def test_chunks_shorter_than_the_window_count_their_own_targets(model, tokens_N):
    ttt = sgd(chunk_tokens=16, window=48, **EVERYTHING)
    np.testing.assert_allclose(scored(model, tokens_N, ttt), by_hand(model, tokens_N, ttt, descent(ttt)), atol=2e-4)


def test_only_what_is_named_changes(model, tokens_N):
    evaluator = evaluator_of(model, tokens_N, sgd(trains=["q.last_1", "scales"]))
    rows_of(evaluator, tokens_N)
    changed = {
        name
        for (name, before), after in zip(
            model.named_parameters(), evaluator.network.network.model.parameters(), strict=True
        )
        if not torch.equal(before, after)
    }
    scales = {f"controls.{layer}_0.{kind}_scale" for layer in range(2) for kind in ("mixer", "mlp")}
    assert changed == {"layers.1.mixer.q.weight"} | scales


@pytest.mark.parametrize("chunk_tokens", [32, 96])
@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_row_is_made_once_by_weights_that_have_learnt_all_chunks_before_its_block_and_nothing_after(
    model, tokens_N, method, chunk_tokens, monkeypatch
):
    """Windows side by side and batches of them; what is left after the last whole chunk teaches nobody."""
    trace, rows, train = [], ChunkTrained.log_probs, ChunkTrained._train

    def predicts(self, batch, wanted=()):
        trace.extend(("row", block.start, block.stop) for block in batch.blocks)
        return rows(self, batch, wanted)

    def learns(self, lane, worth_N):
        trace.append(("learnt", lane.trained, lane.trained + self.cadence))
        train(self, lane, worth_N)

    monkeypatch.setattr(ChunkTrained, "log_probs", predicts)
    monkeypatch.setattr(ChunkTrained, "_train", learns)
    scored(model, tokens_N, sgd(chunk_tokens=chunk_tokens), method=method, workers=2)
    learnt, made_N = 0, np.zeros(160, dtype=int)
    for what, start, stop in trace:
        if what == "learnt":
            assert start == learnt and made_N[:stop].all(), "before it was scored"
            learnt = stop
        else:
            assert learnt == start // chunk_tokens * chunk_tokens
            made_N[start:stop] += 1
    assert (made_N == 1).all() and learnt == (160 - 1) // chunk_tokens * chunk_tokens


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N, method):
    ttt = sgd(**EVERYTHING)
    together = rows_of(evaluator_of(model, tokens_N, ttt, workers=2, method=method), tokens_N)
    stops = [1, 19, 20, 33, 64, 65, 97, 150]
    assert same(rows_of(evaluator_of(model, tokens_N, ttt, batch=1, method=method), tokens_N, stops), together)


def test_what_comes_later_changes_no_score(model, tokens_N):
    ttt = sgd(**EVERYTHING)
    before = scored(model, tokens_N, ttt)
    for place in (19, 64):
        other_N = tokens_N.copy()
        other_N[place + 1 :] = (other_N[place + 1 :] * 7 + 3) % (VOCAB - 1) + 1
        assert np.array_equal(scored(model, other_N, ttt)[:place], before[:place])


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_fork_goes_on_as_its_original_would_and_leaves_it_alone(model, tokens_N, method):
    evaluator = evaluator_of(model, tokens_N, sgd(**EVERYTHING), method=method)
    network = evaluator.network
    blocks = [block for some in evaluator.plan.rounds(Tape([1], [160])) for block in some]

    def show(network, blocks):
        rows = []
        for block in blocks:
            token_T = torch.from_numpy(tokens_N[block.context : block.stop + 1].astype(np.int64))
            batch = Batch((block,), token_T[None, :-1], block.keep)
            rows.append(network.log_probs(batch).logp_BKV)
            network.observe(batch, token_T[None, -block.keep :])
        return [*rows, *(weight.clone() for weight in (*network.weights, *network.raw, *network.rule.velocities))]

    show(network, blocks[:3])
    before, fork = show(network, []), network.fork()
    after = show(fork, blocks[3:])
    assert all(map(torch.equal, show(network, []), before)) and not torch.equal(after[-1], before[-1])
    assert all(map(torch.equal, show(network, blocks[3:]), after))


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_no_epochs_leave_the_network_as_it_is(model, tokens_N, method):
    nothing = {**EVERYTHING, "epochs": 0, "keep": 0.0, "temperature": 1.0}
    fixed = scored(model, tokens_N, NoAdaptation(), method=method)
    assert np.array_equal(scored(model, tokens_N, sgd(**nothing), method=method), fixed)
    kept = scored(model, tokens_N, sgd(epochs=0, keep=0.5), method=method)
    np.testing.assert_allclose(kept, fixed, atol=1e-5)
    assert np.abs(scored(model, tokens_N, sgd(keep=1.0), method=method) - fixed).max() < 1e-5


def test_a_document_is_predicted_as_if_it_were_the_first_once_it_is_past_its_first_chunk(model):
    """What was learnt from the text before is gone: only the windows still see it."""
    documents = [np.concatenate([[BOS], np.where(stream(63, seed) == BOS, 5, stream(63, seed))]) for seed in (0, 1, 2)]
    settings = {"restart": True, "momentum": 0.9, "average": 0.5, "final_lr": 1.0, "chunk_tokens": 32, "window": 32}
    weights = []
    for before in (documents[0], documents[1]):
        tokens_N = np.concatenate([before, documents[2], documents[0][:2]]).astype(np.uint16)
        evaluator = evaluator_of(model, tokens_N, sgd(**settings))
        weights.append(rows_of(evaluator, tokens_N)[1])
    assert all(map(torch.equal, *weights))


def test_repeated_visits_are_untied_first():
    model, tokens_N = made("arch=pr860"), stream(60)
    fixed = scored(model, tokens_N, NoAdaptation())
    for method in ("sliding", "streaming"):
        untied = evaluator_of(model, tokens_N, sgd(untie=True, trains=["repeats.matrix"]), method=method)
        assert np.array_equal(scored(model, tokens_N, sgd(untie=True, epochs=0)), fixed)
        rows, _ = rows_of(untied, tokens_N)
        assert len(rows) == 59
        own = untied.network.network.model.own_layers["2_1"]
        shared = untied.network.network.model.layers[2]
        assert torch.equal(shared.mixer.q.weight, model.layers[2].mixer.q.weight)
        assert not torch.equal(own.mixer.q.weight, shared.mixer.q.weight)
    with pytest.raises(ConfigError, match=r"ttt\.untie: no layer of this model is visited twice"):
        evaluator_of(made("arch.layers=2"), tokens_N, sgd(untie=True))


def test_several_documents_at_a_time_cannot_begin_anew(model, tokens_N):
    with pytest.raises(ConfigError, match=r"ttt\.restart: begins anew with each document, of which eval\.lanes=3"):
        evaluator_of(model, tokens_N, sgd(restart=True), lanes=3)


def test_rows_handed_over_before_their_targets_have_the_committed_scores():
    evaluation = network_evaluation(ttt=sgd(**EVERYTHING))
    tokens_N = stream_of(evaluation)
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=30)
    assert audit.complete and np.abs(audit.difference_n).max() < 1e-5
    assert np.abs(sealed.sum_p_N - 1).max() < 1e-5
    plain = pretend_sealed(dataclasses.replace(evaluation, ttt=NoAdaptation()), tokens_N)
    assert not np.array_equal(sealed.nll_nats_N, plain.nll_nats_N)
