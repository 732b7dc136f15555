"""Of every technique that counts: how often contexts and targets were seen, beside plain lists of the past.

Shapes: I positions, V vocabulary.
"""

from pathlib import Path

import numpy as np
import pytest

from pgolf.config.compose import node
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.eval.stage import Chain
from pgolf.eval.traces import BINS
from tests.eval.fakes import Bigram, Lanes
from tests.ngram.family import driven, positions

V, COUNT = 12, 260
ALL_WORDS = {  # counts at once, in counters of their own, where others wait and collide
    **dict.fromkeys(("backoff", "dirichlet", "interpolated", "kneser_ney", "seen_only", "witten_bell"), ()),
    **dict.fromkeys(("strict", "keep_better"), ("ngram.min_total=3",)),
    "sorted_runs": ["ngram.chunk_tokens=1"],
    "hashed_2_7": ["ngram.chunk_tokens=1", "ngram.straddles=true", "ngram.start_tokens=9", "ngram.bucket_bits=20"],
    "hashed_dirichlet": ["ngram.chunk_tokens=1", "ngram.betas=[9,9,9]", "ngram.bucket_bits=20"],
    "hashed_gathered": ["ngram.chunk_tokens=1", "ngram.bucket_bits=20"],
    "rows": ["ngram.chunk_tokens=1", "ngram.row_bits=20"],
}
WITHOUT = ("none", "packed", "packed_neighbours")  # a mixer's start, which makes no row of its own


def stages(name, words=(), lanes=1):
    facts = Facts(V, 1, COUNT + 1, lanes=lanes, widths=lambda: {"mlp_in": 8})
    return make(node("ngram", name, list(words))).stages(facts)


def told(chain):
    """(share of positions with a known context, and of those whose token it had seen) of each stage, by its traces."""
    of = {trace.name: trace for trace in chain.traces}
    return [(of[f"{stage.name}.hit"].mean, of[f"{stage.name}.target_hit"].mean) for stage in chain._stages]


def counted(order, lane_I, token_I, i):
    """How often the token had followed the last ``order - 1`` of its lane, in all lanes."""
    past, here = {}, []
    for j in range(i + 1):
        past.setdefault(lane_I[j], []).append(token_I[j])
        here.append((tuple(past[lane_I[j]][-order:]), j))
    gram = here[-1][0]
    return sum(other == gram for other, _ in here[:-1])


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("name", ALL_WORDS)
def test_what_was_seen_is_what_lists_of_the_past_say_by_rows_and_by_prices(name, lanes):
    own_IV, _, lane_I, token_I = positions(COUNT, V, lanes)
    chain = Chain(stages(name, ALL_WORDS[name], lanes), (), COUNT)
    order_IE = []
    for i in range(COUNT):
        driven(chain, (own_IV[i : i + 1], {}, lane_I[i : i + 1], token_I[i : i + 1]))
        order_IE.append([int(out_IS[0, 0]) for out_IS in chain._now.out_SIS])
    for (hit, target_hit), order_I in zip(told(chain), np.array(order_IE).T, strict=True):
        first = chain._stages[0].name == "unigram" and order_I.max() == 1
        known_I = np.arange(COUNT) > 0 if first else order_I > 1
        met_I = [known_I[i] and counted(order_I[i], lane_I, token_I, i) > 0 for i in range(COUNT)]
        assert hit == pytest.approx(known_I.mean()) and target_hit == pytest.approx(np.mean(met_I))
        assert 0 < target_hit < hit
    blocks = Chain(stages(name, ALL_WORDS[name], lanes), (), COUNT)
    driven(blocks, (own_IV, {}, lane_I, token_I), 1 if name == "sorted_runs" else 100)
    np.testing.assert_allclose(told(blocks), told(chain))
    if all(stage.score is not None for stage in chain._stages):
        alone = Chain(stages(name, ALL_WORDS[name], lanes), (), COUNT)
        for i in range(COUNT):
            alone.reserve(1)
            alone.score(own_IV[i, token_I[i : i + 1]], {}, lane_I[i : i + 1], token_I[i : i + 1])
        np.testing.assert_allclose(told(alone), told(chain))


@pytest.mark.parametrize("name", ["match", "neighbours"])
def test_who_remembers_places_has_seen_the_tokens_that_it_votes_for(name):
    own_IV, _, lane_I, token_I = positions(COUNT, V)
    near_ID = np.random.default_rng(1).normal(size=(COUNT, 8)).astype(np.float32)
    words = (
        ["ngram.neighbours=3", "ngram.positions=40", "ngram.beta=0.01"]
        if name == "neighbours"
        else ["ngram.min_length=2"]
    )
    chain = Chain(stages(name, words), ("mlp_in",), COUNT)
    signals = {"mlp_in": near_ID} if name == "neighbours" else {}
    chain.reserve(COUNT)
    chain.take(own_IV, signals, lane_I, token_I)
    chain.drive(0, COUNT)
    chain.finish()
    known_I = chain._now.out_SIS[0][:, 0] > 1 if name == "match" else chain._now.out_SIS[0][:, 1] > 0
    ratio_IV = chain.row_IV / own_IV  # what is voted for has more than its part of the network's
    voted_IV = ratio_IV > ratio_IV.min(-1, keepdims=True) * (1 + 1e-4)
    met_I = known_I & voted_IV[np.arange(COUNT), token_I]
    ((hit, target_hit),) = told(chain)
    assert (hit, target_hit) == pytest.approx((known_I.mean(), met_I.mean())) and 0 < target_hit < hit
    alone = Chain(stages(name, words), ("mlp_in",), COUNT)
    alone.reserve(COUNT)
    alone.score(own_IV[np.arange(COUNT), token_I], signals, lane_I, token_I)
    np.testing.assert_allclose(told(alone), told(chain))


@pytest.mark.parametrize("path", sorted(Path("conf/ngram").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_technique_that_counts_is_left_out(path):
    if path.stem not in WITHOUT:
        made = stages(path.stem)
        assert made and all(stage.seen is not None and "order" in stage.signals for stage in made)


def test_memory_and_sums_of_a_techniques_own_rows_are_traced_as_they_are():
    own_IV, _, lane_I, token_I = positions(COUNT, V)
    chain = Chain(stages("backoff"), (), COUNT)
    grown = []
    for start in range(0, COUNT, 20):
        part, before = slice(start, start + 20), {id(array): array for array in chain._states[0]}
        driven(chain, (own_IV[part], {}, lane_I[part], token_I[part]))
        after = {id(array): array for array in chain._states[0]}
        grown.append(sum(array.nbytes for array in (before | after).values()) / 1e6)
    of = {trace.name.partition(".")[2]: trace for trace in chain.traces}
    assert of["mb"].largest == pytest.approx(max(grown)) and of["mb"].mean == pytest.approx(np.mean(grown))
    assert of["mb"].least < of["mb"].largest and of["off"].largest < 1e-6 and of["off"].count == COUNT
    claims = Chain(stages("seen_only"), (), COUNT)
    row_IV = driven(claims, (own_IV, {}, lane_I, token_I))
    (off,) = (trace for trace in claims.traces if trace.name == "seen_only.off")
    assert off.mean == pytest.approx(np.abs(row_IV.sum(-1, dtype=np.float64) - 1).mean(), rel=1e-3) and off.mean > 0.1


def test_a_chain_that_is_told_no_length_asks_nobody():
    def never(state):
        raise AssertionError

    chain = Chain(stages("backoff"), ())
    chain._kernels = [(drive, learn, never) for drive, learn, _ in chain._kernels]
    driven(chain, positions(COUNT, V), 50)
    assert not chain.traces


def test_a_scored_stream_tells_of_all_its_positions_and_of_its_seconds():
    tokens_N, facts = positions(COUNT + 1, V)[3].astype(np.uint16), Facts(V, 1, COUNT + 1)
    evaluator = Evaluator(FixedNetwork(Bigram(V)), Lanes(COUNT, (0,), window=8, stride=4), facts, stages("backoff"))
    scorer = Scorer(tokens_N, (0,))
    evaluator.run(scorer, scorer.first_tokens)
    hit, target_hit, mb, off = evaluator.chain.traces
    assert hit.count == target_hit.count == mb.count == off.count == COUNT and len(hit.curve) == BINS
    assert hit.least == 0 and hit.largest == 1 and hit.curve[-1] > hit.curve[0]
    seconds = evaluator.seconds
    assert list(seconds) == ["network", "backoff", "prices", "observe"] and min(seconds.values()) >= 0
    assert seconds["backoff"] + seconds["prices"] == pytest.approx(evaluator.following.seconds)
    twin = evaluator.fork()
    driven(twin.chain, positions(5, V))
    assert twin.chain.seconds["backoff"] > evaluator.chain.seconds["backoff"] == seconds["backoff"]
