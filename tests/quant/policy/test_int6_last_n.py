"""The last layers get more bits."""

import pytest

from pgolf.core.errors import ConfigError
from tests.quant.nodes import policy
from tests.quant.policy.models import infos


def promoted(**changes):
    found = policy("int6_last_n", bits=5, **changes).treatments(infos(), None)
    return {name for name, treatment in found.items() if treatment.bits == 6}


@pytest.mark.parametrize("last", [1, 2])
def test_exactly_the_matrices_of_the_last_layers_are_promoted(last):
    parts = ("mixer.q", "mixer.k", "mixer.v", "mixer.out", "mlp.up", "mlp.down")
    assert promoted(last=last) == {f"layers.{i}.{part}.weight" for i in range(6 - last, 6) for part in parts}


def test_the_mlp_that_a_repeat_owns_counts_as_its_layers():
    assert "own_mlps.3_1.up.weight" in promoted(last=3)
    assert "own_mlps.2_1.up.weight" not in promoted(last=3)


def test_more_layers_than_there_are_is_an_error():
    with pytest.raises(ConfigError, match=r"quant\.policy\.last: 7 of 6 layers"):
        promoted(last=7)


def test_a_promotion_to_the_same_bits_is_an_error():
    with pytest.raises(ConfigError, match=r"last_bits: 6 is no promotion from quant\.bits = 6"):
        policy("int6_last_n", bits=6)
