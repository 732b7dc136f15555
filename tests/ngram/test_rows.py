"""Unigram, bigram and trigram rows beside dicts of their counts."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.stage import Chain
from pgolf.mixer.fixed import Fixed
from tests.ngram.family import check_causality, driven, positions
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

NODE = {
    "_target_": "pgolf.ngram.rows.RowCounts",
    "added": 0.1,
    "added_trigram": 0.01,
    "row_bits": 4,
    "least_total": 0,
    "chunk_tokens": 1,
    "max_memory_mb": 10,
}
V = 13
ADDED = (0.1, 0.1, 0.01)


def chain_of(length, lanes=1, count=200, **changes):
    """One of the three alone."""
    return Chain(make(NODE | changes).stages(Facts(V, 1, count + 1, lanes=lanes))[length : length + 1], ())


def expected(length, given_positions, least_total, chunk_tokens):
    own_IV, _, lane_I, token_I = given_positions
    counts, past, waiting = defaultdict(Counter), defaultdict(list), []
    for own_V, lane, token in zip(own_IV, lane_I, token_I.tolist(), strict=True):
        context = tuple(past[lane][len(past[lane]) - length :])
        known = len(past[lane]) >= length
        key = ((context[0] * 36313) ^ (context[1] * 27191)) % 16 if known and length == 2 else context
        count_V = np.array([counts[key][v] for v in range(V)])
        total = max(count_V.sum(), least_total) + ADDED[length] * V
        yield (count_V + ADDED[length]) / total if known else own_V
        waiting += [(key, token)] if known else [None]
        past[lane].append(token)
        if len(waiting) == chunk_tokens:
            for key_then, token_then in filter(None, waiting):
                counts[key_then][token_then] += 1
            waiting = []


@pytest.mark.parametrize(("least_total", "chunk_tokens", "lanes"), [(0, 1, 2), (1, 7, 1)])
@pytest.mark.parametrize("length", [0, 1, 2])
def test_rows_are_the_shares_of_what_has_been_counted(length, least_total, chunk_tokens, lanes):
    given_positions = own_IV, _, lane_I, token_I = positions(200, V, lanes)

    def fresh():
        return chain_of(length, lanes, least_total=least_total, chunk_tokens=chunk_tokens)

    chain = fresh()
    row_IV = driven(chain, given_positions)
    np.testing.assert_allclose(row_IV, list(expected(length, given_positions, least_total, chunk_tokens)), atol=1e-6)
    told_I3, sums = chain._now.out_SIS[0], row_IV.sum(-1)
    assert set(told_I3[:, 0]) == {1, length + 1} and np.array_equal(
        told_I3[:, 0] > 1, (told_I3[:, 1] > 0) & (length > 0)
    )
    assert sums.max() < 1 + 1e-5 and (sums.min() < 0.98 if least_total else sums.min() > 1 - 1e-5)
    alone = fresh()
    alone.reserve(200)
    each = np.arange(200)
    assert np.array_equal(alone.score(own_IV[each, token_I], {}, lane_I, token_I), row_IV[each, token_I])
    check_causality(fresh, row_IV, given_positions)


def test_the_certificate_passes_them():
    evaluation = network_evaluation(ngram=make(NODE), mixer=Fixed(share=0.3))
    claimed, failed, messages = judged(evaluation)
    assert not failed, messages
    assert claimed < judged(network_evaluation())[0]


def test_rows_that_take_too_much_memory_are_refused():
    with pytest.raises(ConfigError, match=r"ngram\.max_memory_mb: 10; rows of 1,024 counters take 273 MB"):
        make(NODE | {"row_bits": 16}).stages(Facts(1024, 1, 100))
