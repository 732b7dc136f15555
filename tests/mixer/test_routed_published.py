"""The published gates over ratios of hashed counters, beside dicts of the published keys; rows are no distributions."""

import numpy as np
import pytest
import torch

from pgolf.arch.addon.routing_head import router_of
from pgolf.config.compose import node
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval import stage as home
from pgolf.eval.stage import Chain
from tests.helpers import tiny_model
from tests.mixer.test_routed import HEAD, ORDERS, given, with_head
from tests.mixer.test_routed import driven as all_driven
from tests.ngram.family import plain, same
from tests.ngram.test_hashed import PRIMES, Published
from tests.proof.published.refusal import judged

V, COUNT = 12, 150
NODE = {
    "orders": ORDERS,
    "floor": 0.05,
    "bucket_bits": 6,
    "multipliers": PRIMES,
    "beyond": "last",
    "min_counts": [3, 2],
    "chunk_tokens": 7,
    "straddles": False,
    "start_tokens": 20,
    "max_memory_mb": 10,
}


def mixer(widths=None, experts=0, **changes):
    made = make({"_target_": "pgolf.mixer.routed_published.PublishedRouted", **NODE, **changes})
    return made.stage(Facts(V, 1, COUNT + 1, widths=lambda: widths or {"gates": 4}), experts)


def chain_of(**how):
    chain = Chain([mixer(**how)], ("gates",))
    chain.reserve(COUNT)
    return chain


def expected(own_IV, gate_IW, lane_I, token_I):
    """Row for row from the published keys, and the weights that the head itself would give."""
    router = router_of(tiny_model(*HEAD))
    counters = Published(**{k: NODE[k] for k in ("bucket_bits", "multipliers", "beyond", "chunk_tokens", "straddles")})
    for own_V, gate_W, lane, token in zip(own_IV, gate_IW, lane_I, token_I, strict=True):
        past, known, ratios = counters.past[lane], [], []
        for order in ORDERS:
            context = past[len(past) - order + 1 :]
            count = counters.context[0, order][counters.keys(context, 0)[0]] if len(past) >= order - 1 else 0
            known.append(counters.counted >= NODE["start_tokens"] and count >= (3 if order == 2 else 2))
            both = [counters.pair[0, order][counters.keys(context, v)[1]] if known[-1] else 0 for v in range(V)]
            ratios.append(np.minimum(both, count) / max(count, 1))
        weight_W = router.weights(torch.from_numpy(gate_W)[None, None], torch.tensor([[known]]))[0, 0].tolist()
        yield weight_W[0] * own_V.astype(np.float64) + np.array(weight_W[1:]) @ ratios
        counters.learn(lane, int(token))


def test_rows_are_the_published_rule_sum_to_more_than_one_and_do_what_a_stage_must(monkeypatch):
    some = own_IV, gate_IW, lane_I, token_I = given()
    whole = chain_of()
    row_IV = all_driven(whole, some)
    np.testing.assert_allclose(row_IV, list(expected(*some)), rtol=1e-4, atol=1e-6)
    assert np.array_equal(row_IV[:20], own_IV[:20]) and row_IV.sum(-1).max() > 1.5 and row_IV.min() > 0
    parted, alone = chain_of(), chain_of()
    assert np.array_equal(np.concatenate([all_driven(parted, some, b, b + 1) for b in range(COUNT)]), row_IV)
    p_I = alone.score(own_IV[np.arange(COUNT), token_I], {"gates": gate_IW}, lane_I, token_I)
    assert np.array_equal(p_I, row_IV[np.arange(COUNT), token_I]) and same(alone._states[0], whole._states[0])
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = chain_of()
    assert np.array_equal(all_driven(interpreted, some, 0, 60), row_IV[:60])


def test_a_row_does_not_depend_on_what_comes_later():
    own_IV, gate_IW, lane_I, token_I = some = given()
    row_IV, other_I = all_driven(chain_of(), some), token_I.copy()
    other_I[70:] = (other_I[70:] + 1) % V
    other_IV = all_driven(chain_of(), (own_IV, gate_IW, lane_I, other_I))
    assert np.array_equal(other_IV[:71], row_IV[:71]) and not np.array_equal(other_IV, row_IV)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"experts": 1}, r"mixer: routed_published weighs .* no gate for 1 more; ngram=none"),
        ({"widths": {"mlp_in": 8}}, r"routed_published asks the model's routing head, which it has not"),
        ({"orders": [2, 3]}, r"mixer\.orders: 2 orders and the network have no use for the 4 gates"),
        ({"orders": [3, 2]}, r"mixer\.orders: \[3, 2\] is no rising list of orders from 2"),
        ({"bucket_bits": 20}, r"mixer\.max_memory_mb: 10; .* or lower mixer\.bucket_bits"),
        ({"multipliers": []}, r"mixer\.multipliers: \[\] is no list of whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(how, message):
    with pytest.raises(ConfigError, match=message):
        mixer(**how)


def test_the_certificate_refuses_it_by_its_sums():
    made = make({"_target_": "pgolf.mixer.routed_published.PublishedRouted", **NODE})
    _, failed, messages = judged(with_head(made))
    assert failed == ["a"], messages


def test_the_option_holds_the_published_numbers():
    found = node("mixer", "routed_published", ["size=record"])
    published = node("ngram", "hashed_2_12", ["size=record"])
    alike = ("bucket_bits", "multipliers", "beyond", "min_counts", "chunk_tokens", "straddles", "start_tokens")
    assert all(found[name] == published[name] for name in alike)
    assert found["orders"] == list(range(2, 13)) and found["floor"] == 0.05
