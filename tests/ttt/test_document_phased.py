"""Phases between documents. Expected: torch's own SGD over the text of those that have ended.

Shapes: N tokens of a stream.
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pgolf.config.compose import node
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.run.rules import check
from tests.eval.test_documents import STRIDE, joined, scored, stopped, texts
from tests.helpers import BOS, tiny_settings
from tests.ttt.making import made
from tests.ttt.test_document_lora import evaluator_of, lora

CHUNK, WINDOW = 16, 8
PHASES = {"documents": 5, "phases": 2, "phase_chunk_tokens": CHUNK, "phase_window": WINDOW, "phase_momentum": 0.5}


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    return joined([np.resize(text[:7], len(text)) for text in texts()])


def phased(**changes):
    plain = {"chunk_tokens": STRIDE, "rank": 3, "alpha": 6.0, "lr": 0.02, "weight_decay": 0.1, "phase_clip": 0.5}
    return make({**tiny_settings("ttt=document_phased", "eval=documents")["ttt"], **plain, **PHASES, **changes})


def descended(model, text_N, lr):
    """After one phase, its last chunk left out."""
    model, targets = copy.deepcopy(model).requires_grad_(True), len(text_N) - 1
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=PHASES["phase_momentum"])
    chunks = -(-targets // CHUNK)
    for chunk in range(chunks - 1):
        optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + np.cos(np.pi * chunk / (chunks - 1)))
        optimizer.zero_grad()
        for start in range(chunk * CHUNK, (chunk + 1) * CHUNK, WINDOW):
            own_N = torch.from_numpy(text_N[start : start + WINDOW + 1].astype(np.int64))
            logits_NV = model.logits(own_N[None, :-1])[0]
            (F.cross_entropy(logits_NV, own_N[1:]) * WINDOW / CHUNK).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    return model


def test_a_phase_trains_on_the_first_documents_once_all_beside_them_have_ended(model, tokens_N):
    """Boundaries at 2 and 5 documents, three at a time: after the third and the sixth."""
    evaluator = evaluator_of(model, tokens_N, phased(lr=0.0))
    got, fixed = scored(evaluator, tokens_N), scored(evaluator_of(model, tokens_N, lora(lr=0.0)), tokens_N)
    begins = [0, *(1 + np.flatnonzero(tokens_N[1:] == BOS)), len(tokens_N)]
    assert np.array_equal(got[: begins[3]], fixed[: begins[3]])
    lr = evaluator.network.how.phase.rate.lr
    after = model
    for boundary, first, last in ((2, 3, 6), (5, 6, 7)):
        parts = [tokens_N[begins[number] : begins[number + 1] + 1] for number in range(boundary)]
        after = descended(after, np.concatenate(parts), lr)
        expected = scored(evaluator_of(after.requires_grad_(False), tokens_N, lora(lr=0.0)), tokens_N)
        some = slice(begins[first], begins[last] - (last == 7))
        np.testing.assert_allclose(got[some], expected[some], atol=1e-4)
        assert np.abs(got[some] - fixed[some]).max() > 1e-3
    assert evaluator.network.phases == 2 and not evaluator.network.texts


def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N):
    ttt = phased(warm=True)
    rows = stopped(evaluator_of(model, tokens_N, ttt), tokens_N, ())
    stops = [29, 30, 60, 77, 100, 125]
    told = stopped(evaluator_of(model, tokens_N, ttt), tokens_N, stops)
    assert len(told) > len(stops) and all(np.array_equal(told[place], rows[place]) for place in told)


def test_before_the_first_phase_it_is_adapters_alone_and_a_fork_has_phases_of_its_own(model, tokens_N):
    adapters = scored(evaluator_of(model, tokens_N, lora()), tokens_N)
    evaluator = evaluator_of(model, tokens_N, phased())
    twin = evaluator.fork()
    got = scored(evaluator, tokens_N)
    first = 3 + sum(len(text) for text in texts()[:3])
    assert np.array_equal(got[:first], adapters[:first]) and not np.array_equal(got[first:], adapters[first:])
    assert twin.network.phases == 0 and np.array_equal(scored(twin, tokens_N), got)
    never = scored(evaluator_of(model, tokens_N, phased(documents=100)), tokens_N)
    assert np.array_equal(never, adapters)


def test_a_phase_waits_for_documents_beside_that_come_with_a_later_batch(model):
    """The second three all end within their first stride, the first of them with it."""
    tokens_N = joined([np.resize(text[:7], len(text)) for text in texts([30, 12, 20, STRIDE - 1, 3, 5, 30])])
    one, all_three = (
        evaluator_of(model, tokens_N, phased(documents=4, phases=1), batch_windows=count) for count in (1, 3)
    )
    np.testing.assert_allclose(scored(one, tokens_N), scored(all_three, tokens_N), atol=1e-5)
    seen = []
    one = evaluator_of(model, tokens_N, phased(documents=4, phases=1), batch_windows=1)
    phase = one.network._phase
    one.network._phase = lambda text_N: (seen.append(len(one.network.texts)), phase(text_N))
    scored(one, tokens_N)
    assert seen == [6]


def test_as_published_a_phase_waits_for_the_batches_of_other_ranks_and_drops_the_first(model):
    tokens_N = joined([np.resize(text[:7], len(text)) for text in texts([40, 30, 30, 20, 12, 9, 7, 5, 5])])
    begins, seen = [0, *(1 + np.flatnonzero(tokens_N[1:] == BOS)), len(tokens_N)], []
    evaluator = evaluator_of(model, tokens_N, phased(documents=2, phases=1, ranks=2, takes="last"))
    evaluator.network._phase = lambda text_N: seen.append((len(evaluator.network.texts), text_N.tolist()))
    scored(evaluator, tokens_N)
    expected = [tokens_N[begins[number] : begins[number + 1] + 1] for number in (5, 4)]
    assert seen == [(6, np.concatenate(expected).tolist())]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ttt=document_phased"], "choose eval=documents"),
        (["ttt=document_phased", "eval=documents", "ttt.phase_window=48"], "64 is no multiple of ttt.phase_window, 48"),
        (["ttt=document_phased", "eval=documents", "ttt.phase_trains=[x]"], "this model has no 'x'"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(words, message):
    with pytest.raises(ConfigError, match=message):
        check(tiny_settings(*words))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("pr1610", {"documents": 2000, "phases": 1, "phase_epochs": 3, "phase_lr": 0.005, "chunk_tokens": 32}),
        ("pr1626", {"documents": 2000, "phases": 3, "phase_epochs": 1, "phase_lr": 0.001, "chunk_tokens": 48}),
        ("pr1855", {"documents": 2500, "phases": 3, "phase_lr": 0.001, "phase_chunk_tokens": 32768, "rank": 80}),
        ("pr1855_published", {"ranks": 8, "takes": "last", "rank": 80, "alpha": 144}),
    ],
)
def test_presets_hold_the_published_numbers(option, expected):
    found = node("ttt", option, ["size=record"])
    assert {name: found[name] for name in expected} == expected
