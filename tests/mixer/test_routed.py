"""Gates over the network and each order's distribution, beside dicts and the weights that the head learnt with.

Shapes: I positions, V vocabulary, W gates.
"""

import numpy as np
import pytest
import torch

from pgolf.arch.addon.routing_head import router_of
from pgolf.config.compose import compose, node
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork, widths_of
from pgolf.eval.sliding import Sliding
from pgolf.eval.stage import Chain
from pgolf.ngram.trie import CAPACITY, PRUNINGS
from pgolf.run.rules import check
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval.fakes import AllRows
from tests.helpers import VOCAB, randomise, tiny_model
from tests.ngram.family import Dicts, plain, positions, same
from tests.proof.making import network_evaluation, noisy_model
from tests.proof.published.refusal import judged

V, COUNT, ORDERS = 12, 150, [2, 3, 5]
HEAD = ("arch/addon=[routing_head]", f"arch.addons.routing_head.orders={ORDERS}")


def mixer(vocab_size=V, count=COUNT, lanes=1, widths=None, experts=0, **changes):
    settings = {"orders": ORDERS, "floor": 0.05, "max_memory_mb": 100} | changes
    made = make({"_target_": "pgolf.mixer.routed.Routed", **settings})
    facts = Facts(vocab_size, 1, count + 1, lanes=lanes, widths=lambda: widths or {"mlp_in": 8, "gates": 4})
    return made.stage(facts, experts)


def chain_of(**how):
    chain = Chain([mixer(**how)], ("gates",))
    chain.reserve(COUNT)
    return chain


def given(lanes=1):
    own_IV, _, lane_I, token_I = positions(COUNT, V, lanes)
    gate_IW = np.random.default_rng(1).normal(0, 1, (COUNT, 4)).astype(np.float32)
    return own_IV, gate_IW, lane_I, token_I


def driven(chain, some, begin=0, stop=None):
    own_IV, gate_IW, lane_I, token_I = (array[begin:stop] for array in some)
    chain.take(own_IV, {"gates": gate_IW}, lane_I, token_I.copy())
    chain.drive(0, len(token_I))
    chain.finish()
    return chain.row_IV.copy()


def witten_bell(order, count_V, before_V, below_V):
    kinds = np.count_nonzero(count_V)
    return (count_V + kinds * below_V) / (count_V.sum() + kinds) if order in ORDERS else below_V


@pytest.mark.parametrize("lanes", [1, 2])
def test_rows_are_the_heads_weights_over_each_orders_row_and_all_that_a_stage_must_be(lanes, monkeypatch):
    some = own_IV, gate_IW, lane_I, token_I = given(lanes)
    whole = chain_of(lanes=lanes)
    row_IV = driven(whole, some)
    router, references = router_of(tiny_model(*HEAD)), [Dicts(2, order, witten_bell) for order in ORDERS]
    for i in range(COUNT):
        known = [
            any(context in dicts.counts for _, context in dicts.contexts(lane_I[i], [order]))
            for order, dicts in zip(ORDERS, references, strict=True)
        ]
        found = [dicts.row(lane_I[i], own_IV[i])[0] for dicts in references]
        weight_W = router.weights(torch.from_numpy(gate_IW[i])[None, None], torch.tensor([[known]]))[0, 0].tolist()
        expected_V = weight_W[0] * own_IV[i].astype(np.float64)
        expected_V = sum((w * row_V for w, row_V in zip(weight_W[1:], found, strict=True)), expected_V)
        np.testing.assert_allclose(row_IV[i], expected_V, atol=1e-6)
        for dicts in references:
            dicts.learn(lane_I[i], int(token_I[i]))
    np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    assert row_IV.min() > 0 and np.allclose(row_IV[0], own_IV[0])
    parted, alone = chain_of(lanes=lanes), chain_of(lanes=lanes)
    assert np.array_equal(np.concatenate([driven(parted, some, b, b + 1) for b in range(COUNT)]), row_IV)
    p_I = alone.score(own_IV[np.arange(COUNT), token_I], {"gates": gate_IW}, lane_I, token_I)
    assert np.array_equal(p_I, row_IV[np.arange(COUNT), token_I])
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = chain_of(lanes=lanes)
    assert np.array_equal(driven(interpreted, some, 0, 60), row_IV[:60])
    before = [array.copy() for array in whole._states[0]]
    forked = parted.fork()
    forked.reserve(COUNT)
    driven(forked, some, 0, 20)
    assert same(whole._states[0], before) and same(parted._states[0], before)


def test_a_row_does_not_depend_on_what_comes_later():
    own_IV, gate_IW, lane_I, token_I = some = given()
    row_IV, other_I, other_IW = driven(chain_of(), some), token_I.copy(), gate_IW.copy()
    other_I[70:], other_IW[71:] = (other_I[70:] + 1) % V, 0
    other_IV = driven(chain_of(), (own_IV, other_IW, lane_I, other_I))
    assert np.array_equal(other_IV[:71], row_IV[:71]) and not np.array_equal(other_IV, row_IV)


def test_told_each_token_after_its_row_a_models_gates_give_the_rows_that_score():
    model, random = tiny_model(*HEAD).eval().requires_grad_(False), np.random.default_rng(0)
    randomise(model)
    tokens_N = random.choice(random.integers(2, VOCAB, 9), 100).astype(np.uint16)

    def rows(stops, batch):
        facts = Facts(VOCAB, 1, len(tokens_N), widths=lambda: widths_of(model))
        method = Sliding(window=32, stride=16, batch_windows=batch, lanes=1, official_truncation=False)
        stage = mixer(VOCAB, len(tokens_N), widths=widths_of(model))
        evaluator = Evaluator(FixedNetwork(model).fork(), method.plan(facts), facts, [stage])
        coder = AllRows(tokens_N, stops)
        evaluator.run(coder, coder.first_tokens)
        return coder.row

    whole, late = rows((), 3), rows((0, 40, 41, 98), 1)
    assert len(late) >= 4 and all(np.array_equal(row_V, whole[place]) for place, row_V in late.items())


def test_rows_sum_to_one_across_prunings():
    stage = mixer()
    stage.state.bound_4[CAPACITY] = 30
    chain, some, rows = Chain([stage], ("gates",)), given(), []
    for begin in range(0, COUNT, 15):
        chain.reserve(15)
        rows.append(driven(chain, some, begin, begin + 15))
    np.testing.assert_allclose(np.concatenate(rows).sum(-1), 1.0, atol=2e-6)
    assert chain._states[0].bound_4[PRUNINGS] > 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"experts": 2}, r"mixer: routed weighs .* no gate for 2 more; ngram=none"),
        ({"widths": {"mlp_in": 8}}, r"routing head, which it has not; arch/addon=\[routing_head\]"),
        ({"orders": [2, 3]}, r"mixer\.orders: 2 orders and the network have no use for the 4 gates"),
        ({"orders": [3, 2]}, r"mixer\.orders: \[3, 2\] is no rising list of orders from 2"),
        (
            {"orders": [2, 3, 16], "max_memory_mb": 1, "count": 10_000, "vocab_size": 50_000},
            r"mixer\.max_memory_mb: 1; counts up to order 16 take \d+ MB at the least",
        ),
    ],
)
def test_what_does_not_fit_is_refused(how, message):
    with pytest.raises(ConfigError, match=message):
        mixer(**how)


def test_a_head_of_another_width_is_refused_before_training():
    words = ["size=tiny", *HEAD, "ngram=none", "mixer=routed"]
    with pytest.raises(ConfigError, match=r"mixer\.orders: 11 orders and the network have no use for the 4 gates"):
        check(settings_of(compose(words)))
    check(settings_of(compose([*words, f"mixer.orders={ORDERS}"])))


def with_head(mixer):
    """An evaluation over bytes by a model that has the head."""
    words = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "mlp_hidden": 64}
    arch = node("arch", "baseline", [*HEAD, *(f"arch.{key}={value}" for key, value in words.items())])
    network = FixedNetwork(noisy_model(arch, ByteTokenizer.vocab_size, ByteTokenizer.bos_id))
    return network_evaluation(network, mixer=mixer)


def test_the_certificate_passes_it():
    made = make({"_target_": "pgolf.mixer.routed.Routed", "orders": ORDERS, "floor": 0.05, "max_memory_mb": 100})
    assert not judged(with_head(made))[1]
