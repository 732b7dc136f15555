"""Phases between documents. Expected: torch's SGD over all finished text; without phases, ``lora``."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pgolf.core.errors import ConfigError
from tests.helpers import BOS
from tests.ttt.making import adaptation, evaluator_of, made, rows_of, same, stream

CHUNK = 32


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    tokens_N = np.maximum(stream(225), 2)
    tokens_N[[0, 20, 97, 101, 150]] = BOS
    return tokens_N.astype(np.uint16)


NUMBERS = {"chunk_tokens": CHUNK, "window": CHUNK, "rank": 3, "alpha": 6.0, "lr": 0.02, "trains": ["matrix"]}


def phased(**changes):
    plain = {"documents": 4, "phases": 2, "phase_chunk_tokens": 32, "phase_window": 16, "phase_momentum": 0.5}
    return adaptation("phased", **NUMBERS | plain | changes)


def by_hand(model, token_N, ttt):
    """The model after a phase on these tokens."""
    model, how = copy.deepcopy(model).requires_grad_(True), ttt.phase
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=how.momentum)
    chunks = -(-(len(token_N) - 1) // how.chunks.chunk_tokens)
    for chunk in range(chunks - 1):
        first, last = chunk * how.chunks.chunk_tokens, (chunk + 1) * how.chunks.chunk_tokens
        optimizer.param_groups[0]["lr"] = how.rate.lr * 0.5 * (1 + np.cos(np.pi * chunk / (chunks - 1)))
        optimizer.zero_grad()
        logits_BTV = model.logits(token_N[first:last].view(-1, how.chunks.window))
        F.cross_entropy(logits_BTV.flatten(0, 1), token_N[first + 1 : last + 1]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), how.chunks.clip)
        optimizer.step()
    return model.requires_grad_(False)


def test_a_phase_is_descent_over_all_documents_that_have_ended(model, tokens_N):
    """The second and third end in the chunk up to 128, where the first phase is due, the fourth in that up to 160."""
    ttt = phased(epochs=0)
    assert ttt.boundaries == (2, 4)
    evaluator = evaluator_of(model, tokens_N, ttt)
    _, weights = rows_of(evaluator, tokens_N)
    token_N = torch.from_numpy(tokens_N.astype(np.int64))
    expected = by_hand(by_hand(model, token_N[:102], ttt), token_N[:151], ttt)
    for weight, other, before in zip(weights, expected.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-5)
        assert not torch.equal(weight, before)


def test_until_the_first_phase_it_is_lora_and_then_differs(model, tokens_N):
    lora = rows_of(evaluator_of(model, tokens_N, adaptation("lora", **NUMBERS)), tokens_N)[0]
    found = rows_of(evaluator_of(model, tokens_N, phased()), tokens_N)[0]
    assert all(np.array_equal(found[place], lora[place]) for place in range(128))
    assert any(not np.allclose(found[place], lora[place], rtol=1e-3) for place in range(128, 224))
    never = rows_of(evaluator_of(model, tokens_N, phased(documents=50, phases=1)), tokens_N)[0]
    assert all(np.array_equal(never[place], lora[place]) for place in range(224))


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N, method):
    together = rows_of(evaluator_of(model, tokens_N, phased(), workers=2, method=method), tokens_N)
    stops = [0, 96, 127, 128, 160, 200]
    assert same(rows_of(evaluator_of(model, tokens_N, phased(), batch=1, method=method), tokens_N, stops), together)


def test_a_fork_goes_on_as_its_original_would(model, tokens_N):
    whole = rows_of(evaluator_of(model, tokens_N, phased()), tokens_N)

    def forked(rounds):
        for number, spans in enumerate(rounds):
            if number == 6:
                evaluator.network = evaluator.network.fork()
            yield spans

    evaluator = evaluator_of(model, tokens_N, phased(), batch=1)
    plan = evaluator.plan
    evaluator.plan = type("Forking", (type(plan),), {"rounds": lambda self, tape: forked(plan.rounds(tape))})(
        **{name: getattr(plan, name) for name in plan.__dataclass_fields__}
    )
    assert same(rows_of(evaluator, tokens_N), whole)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"restart": False}, r"ttt\.restart: false does not look for documents"),
        ({"phase_window": 20}, r"ttt\.phase_chunk_tokens: 32 is no multiple of ttt\.phase_window, 20"),
        ({"phase_trains": ["bigram"]}, r"ttt\.trains: 'bigram': this model has no 'bigram'"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(model, tokens_N, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        evaluator_of(model, tokens_N, phased(**changes))
