"""Hashed counters beside dicts of the keys as they were published; their rows are no distributions."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import yaml

from pgolf.config.options import conf_dir
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.stage import Chain
from tests.eval.stages import mean
from tests.ngram.family import check_causality, driven, positions
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

PRIMES = [36313, 27191, 51647]
NODE = {
    "min_order": 2,
    "max_order": 5,
    "bucket_bits": 6,
    "hashing": "xor",
    "multipliers": PRIMES,
    "beyond": "wrap",
    "min_counts": [2],
    "clipped": True,
    "unseen": "network",
    "chunk_tokens": 1,
    "straddles": True,
    "start_tokens": 0,
    "ranks": 1,
    "rank_tokens": 0,
    "max_memory_mb": 10,
}


def hashed(**changes):
    return make({"_target_": "pgolf.ngram.hashed.Hashed", **NODE, **changes})


def chain_of(vocab_size, count, lanes=1, **changes):
    return Chain(hashed(**changes).stages(Facts(vocab_size, 1, count + 1, lanes=lanes)), ())


class Published:
    """The counters as dicts from bucket to count, fed chunk by chunk."""

    def __init__(self, targets=200, **changes):
        self.cfg, self.targets = NODE | changes, targets
        self.context, self.pair = defaultdict(Counter), defaultdict(Counter)
        self.past, self.waiting, self.counted = defaultdict(list), [], 0

    @property
    def rank(self):
        """Whose target comes next."""
        place, turn = self.counted + len(self.waiting), self.cfg["rank_tokens"]
        return place // turn % self.cfg["ranks"] if turn else place * self.cfg["ranks"] // self.targets

    def keys(self, context, token):
        buckets, by = 2 ** self.cfg["bucket_bits"], self.cfg["multipliers"]
        if self.cfg["hashing"] == "polynomial":
            key = 0
            for before in context:
                key = (key * by[0] + before) % buckets
            return key, (key * by[1] + token) % buckets
        by = by * 10 if self.cfg["beyond"] == "wrap" else by + by[-1:] * 10
        key = 0
        for before, prime in zip(context, by, strict=False):
            key ^= before * prime
        return key % buckets, (key ^ (token * by[len(context)])) % buckets

    def row(self, lane, own_V):
        past, least = self.past[lane], self.cfg["min_counts"]
        for order in range(self.cfg["max_order"], self.cfg["min_order"] - 1, -1):
            if self.counted < self.cfg["start_tokens"] or len(past) < order - 1:
                continue
            context = past[len(past) - order + 1 :]
            count = self.context[self.rank, order][self.keys(context, 0)[0]]
            if count >= least[min(order - self.cfg["min_order"], len(least) - 1)]:
                both_V = np.array([self.pair[self.rank, order][self.keys(context, v)[1]] for v in range(len(own_V))])
                if self.cfg["clipped"]:
                    return np.minimum(both_V, count) / count, (order, count, 0)
                return np.clip(both_V / count, 1e-8, 1 - 1e-8), (order, count, 0)
        uniform = self.cfg["unseen"] == "uniform"
        return (np.full(len(own_V), 1 / len(own_V)) if uniform else own_V), (1, 0, 0)

    def learn(self, lane, token):
        past = self.past[lane]
        fresh, rank = sum(where == lane for where, *_ in self.waiting), self.rank
        reach = len(past) if self.cfg["straddles"] else fresh
        self.waiting.append((lane, past[max(len(past) - reach, 0) :] if reach else [], token, rank))
        past.append(token)
        in_turns = self.cfg["ranks"] if self.cfg["rank_tokens"] else 1
        if len(self.waiting) == in_turns * self.cfg["chunk_tokens"] or (in_turns == 1 and self.rank != rank):
            for _, context, token_then, rank in self.waiting:
                for order in range(self.cfg["min_order"], self.cfg["max_order"] + 1):
                    if len(context) >= order - 1:
                        key, pair = self.keys(context[len(context) - order + 1 :], token_then)
                        self.context[rank, order][key] += 1
                        self.pair[rank, order][pair] += 1
            self.counted += len(self.waiting)
            self.waiting = []


CASES = {
    "each token": {},
    "chunks by themselves": {"chunk_tokens": 30, "straddles": False, "start_tokens": 50, "unseen": "uniform"},
    "chunks": {"chunk_tokens": 7, "min_counts": [4, 3, 2]},
    "beyond by the last": {"beyond": "last", "max_order": 9, "bucket_bits": 10},
    "polynomial": {"hashing": "polynomial", "multipliers": [265443576, 1000003], "clipped": False, "max_order": 11},
}

RANKED = {
    "ranks in turns": {"ranks": 3, "rank_tokens": 4, "chunk_tokens": 10, "min_counts": [1]},
    "ranks in stretches": {"ranks": 3, "rank_tokens": 0, "chunk_tokens": 7, "min_counts": [1]},
}


@pytest.mark.parametrize(
    ("case", "lanes"), [*((case, lanes) for case in CASES for lanes in (1, 2)), *((case, 1) for case in RANKED)]
)
def test_rows_and_signals_are_those_of_the_published_keys_at_every_position(case, lanes):
    given_positions = own_IV, _, lane_I, token_I = positions(200, 13, lanes)
    changes = (CASES | RANKED)[case]
    chain, reference = chain_of(13, 200, lanes, **changes), Published(**changes)
    row_IV = driven(chain, given_positions)
    for i in range(200):
        row_V, known = reference.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(row_IV[i], row_V, atol=1e-7)
        assert tuple(chain._now.out_SIS[0][i]) == known
        reference.learn(lane_I[i], int(token_I[i]))
    assert len(np.unique(chain._now.out_SIS[0][:, 0])) > 1 and row_IV.min() > 0
    alone = chain_of(13, 200, lanes, **changes)
    alone.reserve(200)
    each = np.arange(200)
    assert np.array_equal(alone.score(own_IV[each, token_I], {}, lane_I, token_I), row_IV[each, token_I])
    assert all(np.array_equal(a, b) for a, b in zip(chain._states[0], alone._states[0], strict=True))
    check_causality(lambda: chain_of(13, 200, lanes, **changes), row_IV, given_positions)


def test_fewer_buckets_claim_more_and_sum_to_more():
    own_IV, _, lane_I, token_I = positions(600, 64)
    own_IV[:], claimed, summed = 1 / 64, [], []
    for bits in (4, 8, 16):
        row_IV = driven(chain_of(64, 600, bucket_bits=bits), (own_IV, {}, lane_I, token_I))
        claimed.append(-np.log(0.6 * own_IV + 0.4 * row_IV)[np.arange(600), token_I].sum())
        summed.append(row_IV.sum(-1).mean())
    assert claimed[0] < claimed[1] < claimed[2] and summed[0] > 20 > summed[1] > summed[2] >= 0.8


def test_ranks_know_less_than_one_that_sees_all_and_take_one_lane():
    own_IV, _, lane_I, token_I = positions(200, 13)
    seen = [driven(chain_of(13, 200, ranks=ranks), (own_IV, {}, lane_I, token_I)) != own_IV for ranks in (1, 8)]
    assert seen[0].any(-1).sum() > seen[1].any(-1).sum() > 0
    with pytest.raises(ConfigError, match=r"ngram.ranks: 8 with eval.lanes = 2"):
        chain_of(13, 200, 2, ranks=8)


def test_orders_10_and_11_of_the_polynomial_hash_are_copies_of_order_9():
    """Its multiplier is divisible by 8: a token eight steps back or more vanishes mod 2^22."""
    cfg = {"hashing": "polynomial", "multipliers": [265443576, 1000003], "bucket_bits": 22}
    reference, random = Published(**cfg), np.random.default_rng(0)
    context = random.integers(0, 1024, 10).tolist()
    assert reference.keys(context, 5) == reference.keys(context[1:], 5) == reference.keys(context[2:], 5)
    assert reference.keys(context[2:], 5) != reference.keys(context[3:], 5)


def test_the_certificate_refuses_it_by_its_sums_though_it_claims_less():
    evaluation = network_evaluation(ngram=hashed(bucket_bits=10), mixer=mean())
    claimed, failed, messages = judged(evaluation)
    assert claimed < judged(network_evaluation())[0]
    assert failed == ["a"], messages


def test_a_published_setting_says_what_memory_its_counters_take():
    """That of #860 is the largest: 704 MiB, and a chunk that waits."""
    base, preset = (
        yaml.safe_load((conf_dir() / "ngram" / f"{word}.yaml").read_text()) for word in ("hashed", "hashed_2_12")
    )
    node = base | {key: value for key, value in preset.items() if key != "defaults"}
    assert make(node).stages(Facts(1024, 1, 100))
    with pytest.raises(ConfigError, match="counters of 8,388,608 buckets and a chunk take 742 MB"):
        make(node | {"max_memory_mb": 741})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_order": 6}, "ngram.min_order: 6 is above ngram.max_order = 5"),
        ({"multipliers": []}, r"ngram.multipliers: \[\] is no list of whole numbers above 0"),
        ({"min_counts": [0]}, r"ngram.min_counts: \[0\] is no list of whole numbers above 0"),
        ({"min_counts": [2] * 5}, "ngram.min_counts: 5 for 4 orders"),
        ({"hashing": "polynomial"}, r"ngram.multipliers: \[36313, 27191, 51647\]; polynomial takes two"),
        ({"bucket_bits": 20}, "ngram.max_memory_mb: 10; counters of 1,048,576 buckets and a chunk take 34 MB"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        hashed(**changes)
