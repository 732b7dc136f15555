"""The trie's memory: what it takes at most, how it grows, what is refused."""

import itertools

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts
from pgolf.eval.stage import Chain
from pgolf.ngram import trie
from tests.ngram.family import driven, positions
from tests.ngram.test_backoff import backoff, stage_of


def twice(tokens):
    return np.concatenate([tokens, tokens])


WORST = {
    "one token": lambda random: np.zeros(400, dtype=np.int64),
    "twice the same": lambda random: twice(random.integers(0, 300, 200)),
    "twice the same, but for every seventh": lambda random: np.where(
        np.arange(400) % 7 + np.arange(400) // 203 * 10 == 16, random.integers(0, 300, 400), twice(np.arange(200) % 203)
    ),
    "every pair": lambda random: np.array([v for pair in itertools.product(range(14), repeat=2) for v in pair]),
    "all follow one": lambda random: np.stack([np.zeros(200, dtype=np.int64), random.permutation(200)], 1).flatten(),
    "noise": lambda random: random.integers(0, 3, 400),
}


@pytest.mark.parametrize("max_order", [2, 3, 7, 16])
@pytest.mark.parametrize("text", list(WORST))
def test_no_text_takes_more_than_the_room_that_was_said(text, max_order):
    token_I = WORST[text](np.random.default_rng(0))
    count, contexts = len(token_I), max_order - 1
    for step in (1, 50, count):
        chain = Chain([stage_of(300, count, max_order=max_order)], ())
        own_IV = np.full((count, 300), 1 / 300, dtype=np.float32)
        driven(chain, (own_IV, {}, np.zeros(count, dtype=np.int64), token_I), step)
        state = chain._states[0]
        nodes, entries, slots, past = trie.rooms(count, contexts, 300)
        used = state.size_4.tolist()
        assert used[0] <= nodes and used[1] <= entries and used[2] < slots and used[3] == past
        held = [state.node_N4, state.entry_E4, state.slot_H2, state.past_T2]
        assert [len(array) for array in held] <= [nodes, entries, slots, past]
        assert 2 * sum(array.nbytes for array in held) <= trie.most_bytes(count, contexts, 300)


def test_an_n_gram_becomes_a_node_when_it_comes_again():
    chain = Chain([stage_of(50, 50)], ())
    own_IV = np.full((50, 50), 1 / 50, dtype=np.float32)
    driven(chain, (own_IV, {}, np.zeros(50, dtype=np.int64), np.arange(50)))
    assert chain._states[0].size_4.tolist() == [50, 49, 0, 50]  # the full trie has 5 · 50 more


def test_a_larger_table_holds_what_the_smaller_held():
    chain = Chain([stage_of(300, 5000)], ())
    driven(chain, positions(4000, 300))
    state = chain._states[0]
    held = {tuple(slot) for slot in state.slot_H2[state.slot_H2[:, trie.ENTRY] > 0].tolist()}
    assert len(held) == state.size_4[trie.HASHED] > 300
    for size in (len(held) + 1, 2 * len(held), 100_003):
        grown_H2 = trie._rehashed(state.slot_H2, state.entry_E4, size)
        assert (
            len(grown_H2) == size and {tuple(slot) for slot in grown_H2[grown_H2[:, trie.ENTRY] > 0].tolist()} == held
        )
        for node, entry in held:
            token = state.entry_E4[entry - 1, trie.TOKEN]
            assert trie.find(state.node_N4, state.entry_E4, grown_H2, node, token) == entry - 1


def test_a_stream_whose_counts_might_not_fit_is_bounded_and_one_without_room_for_any_refused():
    fits = trie.most_bytes(1_000_000, 6, 4096)
    assert 404e6 < fits < 405e6  # at order 7 404 bytes a token
    facts = Facts(4096, 1, 1_000_001)
    (free,), (bounded,) = backoff(max_memory_mb=405).stages(facts), backoff(max_memory_mb=404).stages(facts)
    assert free.state.bound_4[trie.CAPACITY] == 0
    capacity = int(bounded.state.bound_4[trie.CAPACITY])
    assert trie.bounded_bytes(capacity, 6, 4096) <= 404e6 < trie.bounded_bytes(capacity + 1, 6, 4096)
    with pytest.raises(ConfigError) as refused:
        backoff(max_memory_mb=1).stages(Facts(65_536, 1, 1_000_001))
    assert str(refused.value) == (
        "ngram.max_memory_mb: 1; counts up to order 7 take 3 MB at the least, however much is forgotten; allow as much"
    )


def test_a_stream_beyond_what_the_trie_can_number_is_refused():
    with pytest.raises(ConfigError, match=r"ngram\.max_order: 16 is too much for 200,000,000 tokens"):
        backoff(max_order=16, max_memory_mb=1_000_000).stages(Facts(4096, 1, 200_000_001))
