"""The match model beside a plain search of the past.

Shapes: I positions, V vocabulary.
"""

from collections import defaultdict

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.eval import stage as home
from tests.ngram.family import chain_of, check_causality, driven, plain, positions, same

SHARE, WEIGHT = 0.4, 3.0
SETTINGS = {"min_length": 2, "max_length": 6, "slot_bits": 16, "prior_share": SHARE, "prior_weight": WEIGHT}


class Search:
    """A match is a lane and how many of its tokens lie before what is expected next."""

    def __init__(self, min_length, max_length):
        self.shortest, self.longest = min_length, max_length
        self.past, self.latest, self.match = defaultdict(list), {}, {}
        self.tally = defaultdict(lambda: [SHARE * WEIGHT, WEIGHT])

    def expected(self, lane):
        where, place, length = self.match.get(lane, (lane, None, 0))
        known = place is not None and place < len(self.past[where])
        return (self.past[where][place], length) if known else (None, 0)

    def row(self, lane, own_V):
        token, length = self.expected(lane)
        if token is None:
            return own_V.astype(np.float64), (1, 0, 0)
        share = self.tally[length][0] / self.tally[length][1]
        return (1 - share) * own_V + share * (np.arange(len(own_V)) == token), (length + 1, 1, 1)

    def learn(self, lane, token, own):
        expected, length = self.expected(lane)
        if expected is not None:
            share = self.tally[length][0] / self.tally[length][1]
            self.tally[length][0] += share / (share + (1 - share) * own) if expected == token else 0
            self.tally[length][1] += 1
        past = self.past[lane]
        past.append(token)
        where, place, _ = self.match.pop(lane, (lane, 0, 0))
        if expected == token:
            self.match[lane] = where, place + 1, min(length + 1, self.longest)
        if len(past) < self.shortest:
            return
        key = tuple(past[-self.shortest :])
        found, self.latest[key] = self.latest.get(key), (lane, len(past))
        if found:
            other = self.past[found[0]][: found[1]]
            same = 0
            while same < min(self.longest, len(past), len(other)) and past[-1 - same] == other[-1 - same]:
                same += 1
            if same >= self.match.get(lane, (0, 0, 0))[2]:
                self.match[lane] = (*found, same)


@pytest.mark.parametrize("lanes", [1, 3])
def test_rows_are_the_formulas_and_all_that_a_stage_must_be(lanes):
    given_positions = own_IV, _, lane_I, token_I = positions(500, 9, lanes)

    def fresh():
        return chain_of("match.Match", 9, 500, lanes, **SETTINGS)

    rows, alone, search = fresh(), fresh(), Search(2, 6)
    row_IV = driven(rows, given_positions, step=90)
    whole = fresh()
    assert np.array_equal(driven(whole, given_positions), row_IV)
    said_I3 = whole._now.out_SIS[0]
    for i in range(500):
        row_V, known = search.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(row_IV[i], row_V, atol=1e-6)
        assert tuple(said_I3[i]) == known
        search.learn(lane_I[i], int(token_I[i]), np.float64(own_IV[i, token_I[i]]))
    np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert np.array_equal(row_IV[0], own_IV[0]) and len(np.unique(said_I3[:, 0])) > 4
    each = np.arange(500)
    alone.reserve(500)
    assert np.array_equal(alone.score(own_IV[each, token_I], {}, lane_I, token_I), row_IV[each, token_I])
    assert same(alone._states[0], whole._states[0])
    check_causality(fresh, row_IV, given_positions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = fresh()
    some = own_IV[:150], {}, lane_I[:150], token_I[:150]
    assert np.array_equal(driven(interpreted, some), row_IV[:150])


def test_a_text_that_comes_again_is_expected_word_for_word():
    own_IV, _, lane_I, _ = positions(200, 50)
    token_I = np.tile(np.random.default_rng(0).permutation(50), 4)
    row_IV = driven(chain_of("match.Match", 50, 200, **SETTINGS), (own_IV, {}, lane_I, token_I))
    assert row_IV[np.arange(120, 200), token_I[120:]].min() > 0.8


def test_a_slot_of_another_context_is_never_a_match():
    """With two slots nearly every look-up finds something else."""
    own_IV, _, lane_I, _ = positions(300, 300)
    token_I = np.random.default_rng(0).permutation(300)
    row_IV = driven(chain_of("match.Match", 300, 300, **SETTINGS | {"slot_bits": 1}), (own_IV, {}, lane_I, token_I))
    assert np.array_equal(row_IV, own_IV)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_length": 7}, r"ngram\.min_length: 7 is above ngram\.max_length = 6"),
        ({"prior_share": 1.0}, r"ngram\.prior_share: 1 leaves nothing to the network"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        make({"_target_": "pgolf.ngram.match.Match", **SETTINGS, **changes})
