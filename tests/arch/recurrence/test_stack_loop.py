"""Whole-stack loops: one U-Net over the effective depth, everything shared."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from tests.arch.recurrence.checks import (
    SKIPS,
    artifact,
    assert_compiles,
    assert_every_parameter_learns,
    assert_sound,
    count,
    form,
    halves,
    stir,
)
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=stack_loop"


def test_effective_layers_are_physical_ones_modulo_the_stack():
    (loops,) = form(WORD, layers=5).routes()
    assert halves(loops) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    (thrice,) = form(WORD, "arch.recurrence.loops=3", layers=3).routes()
    assert halves(thrice) == ([0, 1, 2, 0], [1, 2, 0, 1, 2]) and thrice.skips == 4
    assert {v.key for v in thrice.visits} == {"0_0", "1_0", "2_0"}


def test_it_is_sound():
    assert_sound(WORD)


def test_it_compiles_as_one_graph():
    assert_compiles(WORD)


def test_every_parameter_learns():
    assert_every_parameter_learns(WORD)


def test_one_loop_is_the_plain_model():
    plain, one = stir(tiny_model()), stir(tiny_model(WORD, "arch.recurrence.loops=1"))
    assert torch.equal(one.logits(ids()), plain.logits(ids()))


def test_loops_cost_skip_weights_only():
    plain, twice = tiny_model(), tiny_model(WORD)
    assert count(twice) == count(plain) + 3 * SKIPS
    names = {t.name for t in artifact(twice).state.tensors}
    assert names == {t.name for t in artifact(plain).state.tensors}


def test_no_loop_at_all_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        tiny_model(WORD, "arch.recurrence.loops=0")
