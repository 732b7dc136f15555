"""Adapters of documents. Expected: one document at a time, W + scale·BA by autograd, torch's own AdamW.

Shapes: N tokens of the stream, V vocabulary.
"""

import ast
import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from pgolf.bundle.shake import shaken
from pgolf.config.compose import node
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.run.rules import check
from pgolf.ttt.document_lora import Parts
from tests.eval.fakes import Bigram
from tests.eval.test_documents import LENGTHS, STRIDE, WINDOW, documents, joined, scored, stopped, texts
from tests.helpers import BOS, VOCAB, tiny_settings
from tests.proof.making import network_evaluation, pretend_audit, pretend_sealed, stream_of
from tests.ttt.making import made

RANK, SCALE = 3, 2.0


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    return joined([np.resize(text[:7], len(text)) for text in texts()])  # each repeats itself


def lora(**changes):
    plain = {"chunk_tokens": STRIDE, "rank": RANK, "alpha": SCALE * RANK, "lr": 0.02, "weight_decay": 0.1}
    return make({**tiny_settings("ttt=document_lora", "eval=documents")["ttt"], **plain, **changes})


def evaluator_of(model, tokens_N, ttt, workers=1, **how):
    plan_of = documents(**how)
    facts = Facts(VOCAB, BOS, len(tokens_N), workers=workers, lanes=plan_of.lanes, apart=True)
    return Evaluator(ttt.wrap(FixedNetwork(model), facts), plan_of.plan(facts), facts)


def nll(model, tokens_N, ttt=None, **how):
    return scored(evaluator_of(model, tokens_N, ttt or lora(), **how), tokens_N)


def by_autograd(model, alone_N, ttt, kinds):
    """Of one document; ``kinds`` of matrices and the head."""
    model, chunk, how = copy.deepcopy(model), ttt.chunk_tokens, ttt.adam
    start = dict(model.named_parameters())
    names = [f"layers.{layer}.{place}.weight" for layer in range(2) for place in kinds]
    shapes = [start[name].shape for name in names] + [(VOCAB, model.output_table.size(1))]
    drawn = [torch.rand(RANK, s[1], generator=torch.Generator().manual_seed(n)) for n, s in enumerate(shapes)]
    downs = [torch.nn.Parameter((2 * down - 1) / math.sqrt(down.size(1))) for down in drawn]
    ups = [torch.nn.Parameter(torch.zeros(s[0], RANK)) for s in shapes]
    betas, decay = (how.beta1, how.beta2), how.weight_decay
    optimizer = torch.optim.AdamW([*downs, *ups], ttt.lr, betas, how.epsilon, weight_decay=decay)
    tokens_N, found = torch.from_numpy(alone_N.astype(np.int64)), []

    def losses(context, first, stop):
        weights = {n: start[n].detach() + SCALE * up @ down for n, up, down in zip(names, ups, downs, strict=False)}
        x_TD = functional_call(model, weights, (tokens_N[None, context:stop],), tie_weights=False)[0]
        x_KD = x_TD[first - context :]
        raw = x_KD @ model.output_table.T + SCALE * x_KD @ downs[-1].T @ ups[-1].T
        logits_KV = model.softcap * torch.tanh(raw / model.softcap)
        return F.cross_entropy(logits_KV, tokens_N[first + 1 : stop + 1], reduction="none")

    model.forward = model.hidden
    for first in range(0, len(alone_N) - 1, STRIDE):
        stop = min(first + STRIDE, len(alone_N) - 1)
        found.append(losses(max(0, first + STRIDE - WINDOW), first, stop).detach())
        if (first + STRIDE) % chunk == 0 and first + STRIDE < len(alone_N) - 1:
            optimizer.zero_grad()
            end = first + STRIDE
            losses(max(0, end - WINDOW), end - chunk, end).mean().backward()
            optimizer.step()
    return torch.cat(found).numpy()


@pytest.mark.parametrize("chunk", [STRIDE, 2 * STRIDE])
def test_each_document_is_scored_with_what_was_learnt_of_it_alone(model, tokens_N, chunk):
    kinds = ["mixer.q", "mixer.v", "mlp.down"]  # in the order in which they are run
    ttt, expected = lora(trains=["v", "q", "head", "down"], chunk_tokens=chunk), []
    starts = [0, *(1 + np.flatnonzero(tokens_N[1:] == BOS)), len(tokens_N)]
    for start, stop in pairwise(starts):
        expected.append(by_autograd(model, tokens_N[start : stop + 1], ttt, kinds))
    got = nll(model, tokens_N, ttt)
    np.testing.assert_allclose(got, np.concatenate(expected), atol=2e-4)
    assert np.abs(got - scored(evaluator_of(model, tokens_N, lora(lr=0.0)), tokens_N)).max() > 0.01


def test_a_document_alone_equals_it_among_others_and_the_queue_does_not_matter(model, tokens_N):
    one = nll(model, tokens_N, beside=1)
    for how in ({"beside": 3}, {"beside": 9}, {"beside": 3, "order": "longest_first"}):
        np.testing.assert_allclose(nll(model, tokens_N, **how), one, atol=1e-5)


def test_neither_threads_nor_batches_change_a_bit(model, tokens_N):
    one = nll(model, tokens_N, batch_windows=9)
    assert np.array_equal(nll(model, tokens_N, batch_windows=9, workers=2), one)


@pytest.mark.parametrize("warm", [False, True])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N, warm):
    ttt = lora(warm=warm)
    rows = stopped(evaluator_of(model, tokens_N, ttt), tokens_N, ())
    stops = [0, 29, 30, 36, 60, 77, 100, 125]
    told = stopped(evaluator_of(model, tokens_N, ttt), tokens_N, stops)
    assert len(told) > len(stops) and all(np.array_equal(told[place], rows[place]) for place in told)


def test_what_never_steps_is_the_network_to_the_bit(model, tokens_N):
    facts = Facts(VOCAB, BOS, len(tokens_N))
    plain = scored(Evaluator(FixedNetwork(model), documents().plan(facts), facts), tokens_N)
    for changes in ({"lr": 0.0}, {"least_tokens": 1000}):
        assert np.array_equal(nll(model, tokens_N, lora(**changes)), plain)


def test_nothing_is_learnt_from_a_document_before_so_many_of_its_tokens_have_been_seen(model, tokens_N):
    fixed = nll(model, tokens_N, lora(lr=0.0))
    late = nll(model, tokens_N, lora(least_tokens=2 * STRIDE))
    first = LENGTHS[0] + 1
    assert np.array_equal(late[: 2 * STRIDE], fixed[: 2 * STRIDE])
    assert (late[2 * STRIDE : first] != fixed[2 * STRIDE : first]).any()


def test_another_document_changes_nothing_unless_a_is_kept_warm(model, tokens_N):
    """The second of two at a time takes the place of the one that is changed."""
    found = texts()
    others = [text[::-1] if number == 0 else text for number, text in enumerate(found)]
    for warm in (False, True):
        some, other = (nll(model, joined(t), lora(warm=warm), beside=2) for t in (found, others))
        first = len(joined(found[:1]))
        assert np.array_equal(some[first:], other[first:]) is not warm


def test_every_part_has_an_adapter_for_each_visit():
    repeated = made("arch/recurrence=shared")
    repeated.use(list(repeated.routes)[-1])
    visits = len(repeated.route.visits)
    assert visits > len(repeated.layers)
    found = Parts(repeated, ["q", "mixer", "mlp", "head"]).measured()
    assert len(found) == 3 * visits + 1 and found[-1] == (repeated.output_table.size(1), VOCAB)


def test_sublayers_and_head_adapt_and_learn_their_document(model, tokens_N):
    fixed = nll(model, tokens_N, lora(lr=0.0))
    for words in (["mixer"], ["mlp"], ["head"], ["q", "k", "v", "mixer", "mlp", "head"]):
        assert nll(model, tokens_N, lora(trains=words)).sum() < fixed.sum()


def test_the_unadapted_network_can_stay_in_the_mix(model, tokens_N):
    fixed, alone = nll(model, tokens_N, lora(lr=0.0)), nll(model, tokens_N)
    half = nll(model, tokens_N, lora(keep=0.5))
    np.testing.assert_allclose(half, -np.log((np.exp(-fixed) + np.exp(-alone)) / 2), atol=1e-5)


def test_a_fork_learns_on_its_own(model, tokens_N):
    evaluator = evaluator_of(model, tokens_N, lora())
    twin = evaluator.fork()
    expected = scored(evaluator, tokens_N)
    assert evaluator.network.up[0].any() and not twin.network.up
    assert np.array_equal(scored(twin, tokens_N), expected)


def test_it_passes_the_audit():
    ttt = lora(chunk_tokens=8)
    evaluation = network_evaluation(method=documents(2, 16, 8), ttt=ttt)
    tokens_N = stream_of(evaluation, ["one two one two one two", "Ein Text", "three four three four"])
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=12, stretch_tokens=4)
    assert audit.complete and audit.largest < 1e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ttt=document_lora"], "document_lora adapts to documents that are predicted apart; choose eval=documents"),
        (["ttt=document_lora", "eval=documents", "ttt.trains=[qq]"], r"ttt\.trains: this model has no part 'qq'"),
        (["ttt=document_lora", "eval=documents", "ttt.trains=[]"], r"ttt\.trains: \[\] names no part; there are"),
        (["ttt=document_lora", "eval=documents", "ttt.chunk_tokens=24"], r"ttt\.chunk_tokens: 24 is no multiple of 16"),
        (["ttt=lora", "eval=documents"], "documents that are predicted apart are adapted to by ttt=document_lora"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(words, message):
    with pytest.raises(ConfigError, match=message):
        check(tiny_settings(*words))


def test_a_network_without_a_model_is_refused():
    class Alone:
        learns = False

    with pytest.raises(ConfigError, match="adapts a model, which Alone has not"):
        lora().wrap(Alone(), Facts(VOCAB, BOS, 9, apart=True))
    with pytest.raises(ConfigError, match="has no part 'q'"):
        Parts(Bigram(5), ["q"])


def test_the_counted_script_still_tells_a_part_by_its_role():
    """A protocol without members would be every module's."""
    found = shaken([("pgolf.ttt.document_lora", "Parts")], ())
    assert "def role(" in ast.unparse(found["pgolf.core.protocols"])


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("pr1530", {"chunk_tokens": 32, "rank": 96, "alpha": 96, "lr": 0.0001, "beta1": 0, "weight_decay": 0.5}),
        ("pr1767", {"chunk_tokens": 32, "rank": 128, "alpha": 144, "warm": True, "weight_decay": 1.0, "beta2": 0.999}),
        ("pr1855", {"chunk_tokens": 48, "rank": 80, "alpha": 144, "warm": True, "weight_decay": 0.5, "beta2": 0.99}),
        ("pr77_documents", {"chunk_tokens": 256, "rank": 8, "alpha": 8, "lr": 0.01, "beta1": 0.9, "beta2": 0.95}),
    ],
)
def test_presets_hold_the_published_numbers(option, expected):
    found = node("ttt", option, ["size=record"])
    assert {name: found[name] for name in expected} == expected
