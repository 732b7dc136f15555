"""Streaming: one banded pass over the whole text, whoever is told what and when.

Shapes: N tokens of the stream, V vocabulary.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pgolf.artifact import container
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Batch, Facts, Span
from pgolf.eval.blocks import Tape, lane_targets
from pgolf.eval.evaluation import Evaluation, score_stream
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.eval.sealed import score_sealed
from pgolf.eval.sliding import Sliding
from pgolf.eval.streaming import Streaming
from pgolf.proof import shelf
from pgolf.proof.audit import audit_sealed
from pgolf.proof.certificate import certify
from pgolf.proof.cheats import by_name
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.arch.step.test_feed import banded
from tests.eval.fakes import AllRows, Counting, Stopping
from tests.eval.kernels import blend, unigram
from tests.helpers import VOCAB, randomise, tiny_model
from tests.proof.making import (
    DOCUMENTS,
    context_of,
    network_evaluation,
    pretend_audit,
    pretend_sealed,
    stream_of,
    write_artifact,
)

WINDOW, BLOCK = 48, 32
ARCHS = ["baseline", "pr1204", "pr1855", "mamba_hybrid"]


def ready(*words):
    model = tiny_model(*words)
    randomise(model)
    model.use(list(model.routes)[-1])
    return model.eval().requires_grad_(False)


def stream(tokens, vocab_size=VOCAB):
    return np.random.default_rng(0).integers(1, vocab_size, size=tokens).astype(np.uint16)


def streaming(block=BLOCK, batch_blocks=3, window=WINDOW, lanes=1):
    numbers = {"window": window, "block": block, "batch_blocks": batch_blocks, "lanes": lanes}
    return Streaming(**numbers, official_truncation=False)


def evaluator_of(model, tokens_N, stages=(), workers=1, **changes):
    method, facts = streaming(**changes), Facts(VOCAB, 1, len(tokens_N), workers=workers)
    return Evaluator(method.network(FixedNetwork(model).fork(), facts), method.plan(facts), facts, stages)


def scores(evaluator, tokens_N):
    scorer = Scorer(tokens_N, evaluator.plan.lane_starts)
    evaluator.run(scorer, scorer.first_tokens)
    return scorer.nll_nats.values_N


def told_late(evaluator, tokens_N, stops):
    coder = Stopping(tokens_N, stops, evaluator.plan.lane_starts)
    evaluator.run(coder, coder.first_tokens)
    return coder


# --- the plan ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [1, 31, 32, 33, 1000])
def test_blocks_follow_each_other_and_bring_no_context(targets):
    plan = streaming().plan(Facts(VOCAB, 1, targets + 1))
    blocks = [block for some in plan.rounds(Tape([1], [targets])) for block in some]
    assert all(block.context == block.start for block in blocks)
    assert [block.start for block in blocks] == list(range(0, targets, BLOCK))
    assert [block.stop for block in blocks] == [*range(BLOCK, targets, BLOCK), targets]
    assert (plan.lane_starts, plan.side_bits) == ((0,), 0.0)


# --- scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHS)
@torch.inference_mode()
def test_scores_are_those_of_one_banded_pass_and_first_those_of_a_plain_window(arch):
    model, tokens_N = ready(f"arch={arch}"), stream(300)
    found = scores(evaluator_of(model, tokens_N), tokens_N)
    inputs_BT = torch.from_numpy(tokens_N[None, :-1].astype(np.int64))
    target_B1 = torch.from_numpy(tokens_N[1:, None].astype(np.int64))
    for runs, inputs in ((banded(model, WINDOW), inputs_BT), (model, inputs_BT[:, :WINDOW])):
        logp_TV = runs.logits(inputs)[0].log_softmax(-1)
        expected = -logp_TV.gather(-1, target_B1[: len(logp_TV)])[:, 0]
        np.testing.assert_allclose(found[: len(expected)], expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("stages", [0, 2])
def test_told_each_token_after_its_row_the_rows_are_those_that_score(arch, stages):
    model, tokens_N = ready(f"arch={arch}"), stream(150)
    two = [unigram(VOCAB, 1), blend(experts=1)][:stages]
    expected = scores(evaluator_of(model, tokens_N, two), tokens_N)
    every = range(0, 149, 1 if stages else 5)
    for stops in (every, np.random.default_rng(1).choice(149, 20, replace=False).tolist()):
        coder = told_late(evaluator_of(model, tokens_N, two), tokens_N, stops)
        priced = ~np.isnan(coder.nll_nats_N)
        assert priced[list(stops)].all()
        if stages:
            assert np.array_equal(coder.nll_nats_N[priced], expected[priced])
        else:  # the scorer prices log-probabilities, a row holds probabilities
            np.testing.assert_allclose(coder.nll_nats_N[priced], expected[priced], atol=1e-6)


def test_every_row_has_the_same_bits_told_before_and_after():
    model, tokens_N = ready("arch=pr1855"), stream(200)
    kept = {}

    class Keeping(Scorer):
        def settle(self, place_I, rows, token_I):
            kept.update({int(place): rows.row(i).copy() for i, place in enumerate(place_I)})

    evaluator = evaluator_of(model, tokens_N)
    evaluator.run(Keeping(tokens_N), [int(tokens_N[0])])
    coder = told_late(evaluator_of(model, tokens_N), tokens_N, range(199))
    assert all(np.array_equal(kept[place], coder.row[place]) for place in range(199))


@pytest.mark.parametrize("targets", [1, 2, 300, 1000])
def test_lanes_are_stretches_in_blocks_beside_each_other(targets):
    plan = streaming(lanes=3).plan(Facts(VOCAB, 1, targets + 1))
    starts = plan.lane_starts
    assert (
        starts
        == Sliding(window=8, stride=8, batch_windows=1, lanes=3, official_truncation=False)
        .plan(Facts(VOCAB, 1, targets + 1))
        .lane_starts
    )
    sizes = lane_targets(starts, targets)
    blocks = [block for some in plan.rounds(Tape([1] * len(sizes), sizes)) for block in some]
    assert [block.start for block in blocks] == sorted(block.start for block in blocks)
    for lane, size in enumerate(sizes):
        own = [(block.context, block.start, block.stop) for block in blocks if block.lane == lane]
        ends = [*range(BLOCK, min(sizes), BLOCK), *range(min(sizes), size + 1)]
        assert own == [(start, start, stop) for start, stop in pairwise([0, *ends])]
    assert plan.side_bits == 16.0 * (len(sizes) - 1)


@pytest.mark.parametrize("arch", ["baseline", "mamba_hybrid"])
def test_each_lane_has_the_bits_that_it_has_alone(arch):
    model, tokens_N = ready(f"arch={arch}"), stream(250)
    evaluator = evaluator_of(model, tokens_N, lanes=3, workers=2)
    found = scores(evaluator, tokens_N)
    for start, stop in pairwise([*evaluator.plan.lane_starts, 249]):
        own_N = tokens_N[start : stop + 1]
        assert np.array_equal(found[start:stop], scores(evaluator_of(model, own_N), own_N))


@pytest.mark.parametrize("stages", [0, 2])
def test_lanes_told_each_token_after_its_row_have_the_rows_that_score(stages):
    model, tokens_N = ready("arch=pr1204"), stream(122)
    two = [unigram(VOCAB, 3), blend(experts=1)][:stages]

    def rows(stops, **changes):
        coder = AllRows(tokens_N, stops, evaluator_of(model, tokens_N, lanes=3).plan.lane_starts)
        evaluator_of(model, tokens_N, two, lanes=3, **changes).run(coder, coder.first_tokens)
        return coder.row

    expected = rows(())
    assert expected.keys() == set(range(121))
    for stops in (range(121), np.random.default_rng(1).choice(121, 20, replace=False).tolist()):
        found = rows(stops, batch_blocks=1, workers=3)
        assert found.keys() >= set(stops)
        assert all(np.array_equal(row_V, expected[place]) for place, row_V in found.items())


@pytest.mark.parametrize(("batch_blocks", "workers"), [(1, 1), (2, 4), (64, 2)])
@pytest.mark.parametrize("arch", ["baseline", "mamba_hybrid"])
def test_scores_have_the_same_bits_however_many_blocks_go_together_and_however_many_threads(
    arch, batch_blocks, workers
):
    model, tokens_N = ready(f"arch={arch}"), stream(700)
    found = scores(evaluator_of(model, tokens_N, workers=workers, batch_blocks=batch_blocks), tokens_N)
    assert np.array_equal(found, scores(evaluator_of(model, tokens_N), tokens_N))


def test_the_size_of_a_block_changes_rounding_alone():
    model, tokens_N = ready("arch=pr1204"), stream(500)
    one, other = (scores(evaluator_of(model, tokens_N, block=block), tokens_N) for block in (32, 96))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_longer_past_changes_scores():
    model, tokens_N = ready(), stream(500)
    one, other = (scores(evaluator_of(model, tokens_N, window=window), tokens_N) for window in (48, 64))
    assert np.abs(one - other)[:48].max() < 1e-5 < 1e-4 < np.abs(one - other)[48:].max()


class Choosing(Stopping):
    """Wants the rows of every second block that it has told whole."""

    def wants(self, block):
        return block.start // BLOCK % 2 == 1


@pytest.mark.parametrize("stops", [[], [70, 71, 200]])
def test_only_the_blocks_that_are_wanted_are_settled_and_all_are_remembered(stops):
    model, tokens_N = ready("arch=pr1204"), stream(300)
    expected = scores(evaluator_of(model, tokens_N), tokens_N)
    evaluator = evaluator_of(model, tokens_N)
    coder = Choosing(tokens_N, stops)
    evaluator.run(coder, coder.first_tokens)
    priced = ~np.isnan(coder.nll_nats_N)
    place_N = np.arange(299)
    told = ~np.isin(place_N // BLOCK, [stop // BLOCK for stop in stops])
    assert np.array_equal(priced, (told & (place_N // BLOCK % 2 == 1)) | np.isin(place_N, stops))
    np.testing.assert_allclose(coder.nll_nats_N[priced], expected[priced], atol=1e-6)
    assert evaluator.network.feeds[0].past.start == 299


# --- what is remembered -----------------------------------------------------------------------------------------


def batch_of(tokens_N, start, blocks=1):
    spans = tuple(Span(0, s, s, s + BLOCK) for s in range(start, start + blocks * BLOCK, BLOCK))
    inputs = tokens_N[start : start + blocks * BLOCK].astype(np.int64).reshape(blocks, BLOCK)
    return Batch(spans, torch.from_numpy(inputs), BLOCK)


def test_it_observes_and_learns_nothing():
    evaluator = evaluator_of(ready(), stream(100))
    assert evaluator.network.remembers and not evaluator.network.learns
    assert not evaluator.learns  # the certificate's track A


@pytest.mark.parametrize("arch", ["baseline", "pr1204", "mamba_hybrid"])
def test_observing_alone_remembers_what_rows_would_have_been_made_of(arch):
    tokens_N = stream(300)
    scored, told = (evaluator_of(ready(f"arch={arch}"), tokens_N).network for _ in range(2))
    for start in (0, 32):
        scored.log_probs(batch_of(tokens_N, start))
        scored.log_probs(batch_of(stream(300)[::-1].copy(), start))  # asked again of other inputs
        scored.observe(batch_of(tokens_N, start), None)
    told.observe(batch_of(tokens_N, 0, 2), None)
    last = batch_of(tokens_N, 64)
    assert torch.equal(scored.log_probs(last).logp_BKV, told.log_probs(last).logp_BKV)


def test_a_fork_goes_on_alone():
    model, tokens_N = ready("arch=pr1204"), stream(300)
    network = evaluator_of(model, tokens_N).network
    network.observe(batch_of(tokens_N, 0), None)
    expected = network.log_probs(batch_of(tokens_N, 32)).logp_BKV
    fork = network.fork()
    network.observe(batch_of(tokens_N[::-1].copy(), 32), None)
    with torch.no_grad():
        network.model.embedding.zero_()
    assert torch.equal(fork.log_probs(batch_of(tokens_N, 32)).logp_BKV, expected)


@pytest.mark.parametrize("start", [0, 32, 96])
def test_a_block_that_does_not_follow_is_refused(start):
    tokens_N = stream(300)
    network = evaluator_of(ready(), tokens_N).network
    network.observe(batch_of(tokens_N, 0, 2), None)
    with pytest.raises(ValueError, match="does not follow the 64 positions"):
        network.log_probs(batch_of(tokens_N, start))


# --- proof ------------------------------------------------------------------------------------------------------


def streaming_node():
    numbers = {"window": WINDOW, "block": BLOCK, "batch_blocks": 3, "lanes": 1, "official_truncation": False}
    return {"_target_": "pgolf.eval.streaming.Streaming"} | numbers


def test_a_sealed_process_that_sees_no_future_gives_the_rows_that_another_scored(tmp_path):
    artifact = write_artifact(tmp_path / "a.pgolf", eval=streaming_node())
    evaluation = evaluation_from(container.read(artifact))
    tokens_N, used = shelf.stream_of(evaluation, DOCUMENTS)
    sealed = score_sealed(artifact, tokens_N, threads=2)
    own = evaluation.evaluator(len(tokens_N))
    assert np.array_equal(sealed.nll_nats_N, scores(own, tokens_N))
    audit = audit_sealed(artifact, tokens_N, sealed, evaluation.tokenizer.vocab_size, 200, 10, threads=1)
    context = context_of(evaluation, used, sealed=sealed, audit=audit, tokens_N=tokens_N)
    prefix = next(probe for probe in certify(context).probes if probe.letter == "b")
    assert prefix.passed and prefix.measured["looked_at"] >= 200
    assert prefix.measured["largest_difference_nats"] < 1e-6


@pytest.mark.parametrize("name", ["in_chunk_peeker", "smear_ahead", "score_after_update"])
def test_cheats_are_found_behind_a_memory_too(name):
    evaluation = network_evaluation(method=streaming())
    tokens_N = stream_of(evaluation)
    found = {}
    for who in (None, by_name(name)):
        judged = evaluation if who is None else who.apply(evaluation)
        sealed = pretend_sealed(judged, tokens_N)
        audit = pretend_audit(judged, tokens_N, sealed)
        certificate = certify(context_of(judged, sealed=sealed, audit=audit, tokens_N=tokens_N))
        found[who and name] = {probe.letter for probe in certificate.probes if not probe.passed}
    assert found == {None: set(), name: {"b", "f"}}  # what was found need not be decoded


# --- refusals ---------------------------------------------------------------------------------------------------


def test_a_part_without_memory_is_refused_by_name():
    model = ready("arch/mlp=polyglu_routed", "arch.mlp.routing=sequence_mean")
    with pytest.raises(ConfigError, match=r"eval: streaming .*polyglu_routed.Router.* later positions.*eval=sliding"):
        evaluator_of(model, stream(40))


@pytest.mark.parametrize("block", [33, 40, 48])
def test_a_block_of_no_whole_vectors_is_refused(block):
    with pytest.raises(ConfigError, match=f"eval.block: {block} is no multiple of 32"):
        streaming(block=block)


def test_a_network_that_is_no_model_with_fixed_weights_is_refused():
    with pytest.raises(ConfigError, match="fixed weights"):
        streaming().network(Counting(VOCAB), Facts(VOCAB, 1, 10))


def test_a_score_says_how_it_was_made():
    tokenizer = ByteTokenizer()
    model = tiny_model(vocab_size=tokenizer.vocab_size).eval()
    evaluation = Evaluation(FixedNetwork(model), tokenizer, streaming(), "raw", workers=2)
    score = score_stream(evaluation, stream(100, 255), split="dev", subset=True)
    assert (score.method, score.window, score.stride, score.side_bits) == ("streaming", WINDOW, BLOCK, 0.0)
