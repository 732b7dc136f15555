"""Depth recurrence by reference: one storage, own scalars."""

import pytest
import torch

from pgolf.arch.base import rms_norm
from pgolf.core.errors import ConfigError
from tests.arch.recurrence.checks import (
    CONTROLS,
    SKIPS,
    artifact,
    assert_compiles,
    assert_every_parameter_learns,
    assert_sound,
    count,
    form,
    halves,
)
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=shared"


def blocks(model, physical):
    return [model.block(v) for v in model.routes["recurrent"].visits if v.physical == physical]


def test_the_visits_are_the_published_ones():
    (recurrent,) = form(WORD, "arch.recurrence.recurrent_layers=[4,5]").routes()
    assert halves(recurrent) == ([0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9, 10])
    assert str(recurrent) == "0 1 2 3 4 5 | 4 5 6 7 8 9 10"
    assert [v.key for v in recurrent.visits[6:8]] == ["4_1", "5_1"]


def test_it_is_sound_in_every_route():
    assert_sound(WORD)


def test_it_compiles_as_one_graph():
    assert_compiles(WORD, "arch.recurrence.recurrent_layers=[1]")


def test_every_parameter_learns():
    assert_every_parameter_learns(WORD)


def test_a_repeat_costs_its_scalars_and_one_skip_only():
    assert count(tiny_model(WORD)) == count(tiny_model()) + 2 * CONTROLS + SKIPS


def test_repeats_are_no_ops_at_the_start():
    model = tiny_model(WORD)
    with torch.no_grad():
        model.skip_weights.zero_()
    torch.testing.assert_close(model.hidden(ids()), rms_norm(model.embed(ids())))


def test_repeats_use_the_same_storage_and_their_own_scalars():
    model = tiny_model(WORD)
    first, again = blocks(model, 2)
    assert first.layer is again.layer and first.mlp is again.mlp
    assert first.controls.q_gain.data_ptr() != again.controls.q_gain.data_ptr()
    assert first.layer.mixer.q.weight.data_ptr() == again.layer.mixer.q.weight.data_ptr()


def test_each_tensor_is_stored_once():
    model = tiny_model(WORD)
    stored = artifact(model).state
    assert not stored.aliases
    assert sum(t.arrays["values"].size for t in stored.tensors) == count(model)


@pytest.mark.parametrize(
    ("layers", "message"),
    [("[2,6]", "out of range; the layers are 0..5"), ("[]", "one layer at least"), ("[2,2]", "each once")],
)
def test_impossible_layers_are_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model(WORD, f"arch.recurrence.recurrent_layers={layers}")
