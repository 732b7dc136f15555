"""Adapters per document. Expected: autograd through W + scale·BA, with torch's AdamW on A and B."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from pgolf.core.errors import ConfigError
from pgolf.run.rules import check
from pgolf.ttt.none import NoAdaptation
from pgolf.ttt.selection import selected
from tests.helpers import BOS, tiny_settings
from tests.proof.making import network_evaluation, pretend_audit, pretend_sealed, stream_of
from tests.ttt.making import STRIDE, WINDOW, adaptation, evaluator_of, made, rows_of, same, scored, stream

CHUNK = 32


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    tokens_N = stream(193)
    tokens_N[tokens_N == BOS] = 5
    tokens_N[[0, 20, 97]] = BOS
    return tokens_N


def lora(**changes):
    plain = {"chunk_tokens": CHUNK, "window": CHUNK, "rank": 3, "alpha": 6.0, "lr": 0.02, "weight_decay": 0.1}
    return adaptation("lora", **plain | changes)


def drawn(model, names, rank):
    """A and B of each matrix where a document begins."""
    shapes = [dict(model.named_parameters())[name].shape for name in names]
    downs = [torch.rand(rank, s[1], generator=torch.Generator().manual_seed(n)) for n, s in enumerate(shapes)]
    downs = [(2 * down - 1) / math.sqrt(down.size(1)) for down in downs]
    return [torch.nn.Parameter(t) for t in (*downs, *(torch.zeros(s[0], rank) for s in shapes))]


def by_autograd(model, tokens_N, ttt):
    model, how, targets = copy.deepcopy(model), ttt.adam, len(tokens_N) - 1
    names = selected(model.param_specs(), ttt.chunks.trains)
    start = dict(model.named_parameters())
    tokens_N = torch.from_numpy(tokens_N.astype(np.int64))

    def begun():
        adapters = drawn(model, names, ttt.rank)
        betas = (how.beta1, how.beta2)
        decay = how.weight_decay
        return adapters, torch.optim.AdamW(adapters, ttt.rate.lr, betas, how.epsilon, weight_decay=decay)

    def logits(input_1T, keep, adapters):
        pairs = zip(names, adapters[: len(names)], adapters[len(names) :], strict=True)
        weights = {name: start[name] + ttt.scale * up @ down for name, down, up in pairs}
        return functional_call(model, weights, (input_1T,))[0, -keep:]

    model.forward = model.logits
    adapters, optimizer = begun()
    nll_nats, trained, begins, place = [], 0, 0, 0
    while place < targets:
        context, stop = max(0, place - WINDOW + STRIDE), min(targets, place + STRIDE if place else WINDOW)
        with torch.no_grad():
            logp_KV = logits(tokens_N[None, context:stop], stop - place, adapters).log_softmax(-1)
        nll_nats += (-logp_KV.gather(-1, tokens_N[place + 1 : stop + 1, None])).flatten().tolist()
        while (trained + 1) * CHUNK <= stop < targets:
            first, last = trained * CHUNK, (trained + 1) * CHUNK
            new = [n + 1 for n in range(first, last) if tokens_N[n + 1] == BOS]
            if new and ttt.chunks.restart:
                begins, (adapters, optimizer) = new[-1], begun()
            if last - begins >= ttt.chunks.least_tokens and begins < last:
                optimizer.zero_grad()
                logits_KV = logits(tokens_N[None, first:last], CHUNK, adapters)
                skipped = max(0, begins - first)
                F.cross_entropy(logits_KV[skipped:], tokens_N[first + 1 + skipped : last + 1]).backward()
                optimizer.step()
            trained += 1
        place = stop
    return np.array(nll_nats)


@pytest.mark.parametrize(
    "changes",
    [{}, {"trains": ["q", "v", "embedding"], "restart": False}, {"least_tokens": 50, "beta1": 0.0}],
    ids=str,
)
def test_adapters_are_scored_with_then_trained_and_forgotten(model, tokens_N, changes):
    ttt = lora(**changes)
    found = scored(model, tokens_N, ttt)
    np.testing.assert_allclose(found, by_autograd(model, tokens_N, ttt), atol=2e-4)
    assert np.abs(found - scored(model, tokens_N, NoAdaptation())).max() > 0.004


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N, method):
    together = rows_of(evaluator_of(model, tokens_N, lora(), workers=2, method=method), tokens_N)
    stops = [0, 19, 20, 31, 32, 64, 96, 97, 128, 150]
    assert same(rows_of(evaluator_of(model, tokens_N, lora(), batch=1, method=method), tokens_N, stops), together)


def test_the_change_of_a_matrix_has_the_adapters_rank(model, tokens_N):
    evaluator = evaluator_of(model, tokens_N, lora(trains=["mlp"]))
    rows_of(evaluator, tokens_N)
    for name, after in evaluator.network.network.model.named_parameters():
        before = dict(model.named_parameters())[name]
        if ".mlp." in name:
            assert torch.linalg.matrix_rank(after - before, rtol=1e-3) == 3
        else:
            assert torch.equal(after, before)


def test_a_document_is_adapted_to_alone_and_in_no_order(model):
    """After its first whole chunk its weights are those it would have had alone."""
    documents = [np.concatenate([[BOS], np.maximum(stream(63, seed), 2)]) for seed in (0, 1, 2)]
    weights = []
    for before in ([], [documents[0]], [documents[1], documents[0]]):
        tokens_N = np.concatenate([*before, documents[2], [7, 7]]).astype(np.uint16)
        weights.append(rows_of(evaluator_of(model, tokens_N, lora()), tokens_N)[1])
    assert not all(map(torch.equal, weights[0], model.parameters()))
    assert all(map(torch.equal, weights[0], weights[1])) and all(map(torch.equal, weights[0], weights[2]))


def test_no_epochs_or_no_rate_is_the_network_as_it_is(model, tokens_N):
    fixed = scored(model, tokens_N, NoAdaptation())
    assert np.array_equal(scored(model, tokens_N, lora(epochs=0)), fixed)
    assert np.array_equal(scored(model, tokens_N, lora(lr=0.0)), fixed)


def test_a_fork_of_the_rule_goes_on_alone(model):
    rule, weight = lora().rule([model.param_specs()["layers.0.mixer.q.weight"]]), torch.randn(6, 5)
    for _ in range(2):
        rule.step([weight], [torch.randn(6, 5)], 0.1)
    fork, twin, gradient = rule.fork(), weight.clone(), torch.randn(6, 5)
    for some, other in ((rule, weight), (fork, twin)):
        some.step([other], [gradient], 0.1)
    assert torch.equal(weight, twin) and fork.adapters[0].up is not rule.adapters[0].up


def test_rows_handed_over_before_their_targets_have_the_committed_scores():
    evaluation = network_evaluation(ttt=lora())
    tokens_N = stream_of(evaluation)
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=30)
    assert audit.complete and np.abs(audit.difference_n).max() < 1e-5


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["ttt.trains=[q, scales]"], "ttt.trains: lora adapts matrices, not mixer_scale, mlp_scale"),
        (["ttt.restart=false", "ttt.least_tokens=9"], "ttt.least_tokens: counts a document's tokens"),
        (["eval.lanes=2"], "ttt.restart: begins anew with each document, of which eval.lanes=2"),
    ],
    ids=str,
)
def test_a_run_is_refused_before_it_begins(words, problem):
    with pytest.raises(ConfigError) as refused:
        check(tiny_settings("ttt=lora", *words))
    assert [found for found in refused.value.problems if problem in found], refused.value.problems
