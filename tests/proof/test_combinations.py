"""Every pair of an eval, ttt, ngram and mixer option comes back through bytes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.coder import Informed
from pgolf.eval.evaluation import Evaluation, apart, check_cadence, stages_of, weights_for
from pgolf.eval.network import FixedNetwork, widths_of
from pgolf.proof.codec import decode, encode
from tests.arch.covering import techniques
from tests.helpers import BOS, VOCAB, randomise, tiny_model, tiny_settings

# What is no code length, or wants more than a plain model and a text: they have tests of their own.
OTHERS = {
    "ngram": {"hashed", "hashed_dirichlet", "seen_only", "keep_better", "packed"},
    "mixer": {"hedge_published", "surprise_published", "routed", "routed_published"},
}
GROUPS = ("eval", "ttt", "ngram", "mixer")
TOKENIZER = SimpleNamespace(vocab_size=VOCAB, bos_id=BOS, byte_lengths=lambda token_N: np.ones(len(token_N)))
TOKENS = 131


@cache
def model():
    made = tiny_model().eval().requires_grad_(False)
    randomise(made)
    return made


def evaluation(row: tuple[str, ...]) -> Evaluation:
    method, ttt, ngram, mixer = (
        make(tiny_settings(f"{group}={word}")[group]) for group, word in zip(GROUPS, row, strict=True)
    )
    return Evaluation(FixedNetwork(model()), TOKENIZER, method, "raw", mixer, ttt, ngram, workers=1)


def fits(row: tuple[str, ...]) -> bool:
    """Whether these options go together; no kernel is compiled for it."""
    made = evaluation(row)
    facts = Facts(VOCAB, BOS, TOKENS)
    plan = made.method.plan(facts)
    facts = replace(facts, lanes=len(plan.lane_starts), apart=apart(plan), widths=lambda: widths_of(model()))
    try:
        stages_of(made.ngram, made.ttt, made.mixer, facts)
        network = made.method.network(weights_for(made.ttt, made.network), facts)
        check_cadence(made.method, made.ttt.wrap(network, facts))
    except ConfigError:
        return False
    return True


def pairs(row: tuple[str, ...]) -> set[tuple[tuple[int, str], ...]]:
    return set(combinations(enumerate(row), 2))


def rows() -> Iterator[tuple[str, ...]]:
    """As few as a greedy choice finds that have every pair which goes together at all."""
    words = [[word for word in techniques(group) if word not in OTHERS.get(group, ())] for group in GROUPS]
    known = [row for row in product(*words) if fits(row)]
    wanted = set().union(*map(pairs, known))
    while wanted:
        best = max(known, key=lambda row: len(pairs(row) & wanted))
        wanted -= pairs(best)
        yield best


@pytest.mark.slow
def test_every_pair_of_options_comes_back_through_bytes():
    token_N = np.random.default_rng(0).integers(2, VOCAB, TOKENS).astype(np.uint16)
    token_N[::37] = BOS
    tried = list(rows())
    for row in tried:
        evaluator = evaluation(row).evaluator(TOKENS)
        body = encode(evaluator.fork(), token_N)
        told = Informed(token_N, evaluator.plan.lane_starts).first_tokens
        assert np.array_equal(decode(evaluator, told, body), token_N[1:]), row
    for place, group in enumerate(GROUPS):
        words = set(techniques(group)) - OTHERS.get(group, set())
        assert {row[place] for row in tried} == words, group
