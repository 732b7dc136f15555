"""Chunks that come again: as many as are asked for, of those scored, and the same for whoever has the text so far."""

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from pgolf.eval.scorer import Scorer
from pgolf.ttt.chunks import ChunkTrained
from pgolf.ttt.replay import chosen
from tests.eval.fakes import AllRows
from tests.ttt.making import PLAIN, adaptation, evaluator_of, made, rows_of, run, same, scored, sgd, stream

SETTINGS = PLAIN | {"epochs": 1, "window": 48, "chunk_tokens": 16, "byte_weighted": True}


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    return stream(100)


def replay(count, **changes):
    return adaptation("replay", **SETTINGS, replay=count, **changes)


def test_chunks_come_from_all_that_was_scored_spread_evenly():
    assert not list(chosen(0, 3)) and not list(chosen(5, 0))
    assert all(0 <= number < chunk for chunk in range(1, 200) for number in chosen(chunk, 2))
    numbers = np.array(sorted(chosen(400, 40)))
    assert len(set(numbers)) == 40 and np.diff([0, *numbers, 400]).max() <= 20


def test_none_again_is_plain_descent_and_each_again_is_a_chunk_as_it_was(model, tokens_N, monkeypatch):
    plain = scored(model, tokens_N, sgd(**SETTINGS))
    assert np.array_equal(scored(model, tokens_N, replay(0)), plain)
    seen, train = [], ChunkTrained._train

    def noting(self, lane, worth_N):
        start = lane.trained - lane.first
        seen.append((lane.trained, lane.tokens[start : start + self.cadence + 1].tolist(), worth_N.tolist()))
        windows = list(self.chunks.windows(lane.trained))
        assert all(context >= lane.first for context, _, _ in windows)
        train(self, lane, worth_N)

    monkeypatch.setattr(ChunkTrained, "_train", noting)
    again = scored(model, tokens_N, replay(2))
    expected = [number for chunk in range(6) for number in (*chosen(chunk, 2), chunk)]
    assert [start // 16 for start, _, _ in seen] == expected
    assert all(text == tokens_N[start : start + 17].tolist() for start, text, _ in seen)
    assert len({(start, tuple(worth)) for start, _, worth in seen}) == 6
    assert np.array_equal(again[:16], plain[:16]) and not np.allclose(again[48:], plain[48:], atol=1e-4)


def test_told_each_token_after_its_row_and_in_a_fork_it_gives_the_same_bits(model, tokens_N):
    whole = rows_of(evaluator_of(model, tokens_N, replay(1)), tokens_N)
    late = rows_of(evaluator_of(model, tokens_N, replay(1), batch=1, workers=2), tokens_N, (0, 30, 70, 98))
    assert same(late, whole)
    evaluator = evaluator_of(model, tokens_N, replay(1))
    twin = evaluator.fork()
    for one in (evaluator, twin):
        assert same(rows_of(one, tokens_N, kind=AllRows), whole)
    assert run(evaluator_of(model, tokens_N, replay(1)), Scorer(tokens_N, (0,))).nll_nats.values_N.min() > 0


def test_documents_that_are_forgotten_cannot_come_again():
    with pytest.raises(ConfigError, match=r"ttt\.restart: forgets the documents before"):
        replay(1, restart=True)
