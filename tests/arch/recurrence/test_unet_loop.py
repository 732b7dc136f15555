"""The whole U-Net several times: skips of its own for each pass, and a learned vector before each."""

import pytest
import torch

from pgolf.arch.base import rms_norm
from pgolf.core.errors import ConfigError
from tests.arch.recurrence.checks import (
    artifact,
    assert_compiles,
    assert_every_parameter_learns,
    assert_sound,
    count,
    form,
    stir,
)
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=unet_loop"


def test_each_pass_is_the_plain_u_net_with_skips_of_its_own():
    (twice,) = form(WORD, layers=8).routes()
    assert str(twice) == "0 1 2 3 | 4 5 6 7 / 0 1 2 3 | 4 5 6 7"
    assert [v.number for v in twice.visits] == [0] * 8 + [1] * 8 and twice.skips == 4
    assert [v.virtual for v in twice.visits] == list(range(16))
    assert not any(v.norm for v in twice.visits)
    assert {v.key for v in twice.visits} == {f"{i}_0" for i in range(8)}


def test_it_is_sound():
    assert_sound(WORD)


def test_it_compiles_as_one_graph():
    assert_compiles(WORD)


def test_every_parameter_learns():
    assert_every_parameter_learns(WORD)


def test_it_costs_a_vector_for_each_pass_and_nothing_else():
    plain, twice = tiny_model(), tiny_model(WORD)
    assert count(twice) == count(plain) + 2 * 32
    names = {t.name for t in artifact(twice).state.tensors}
    assert names == {t.name for t in artifact(plain).state.tensors} | {"recurrence.vectors"}
    spec = twice.param_specs()["recurrence.vectors"]
    assert (spec.group, spec.storage) == ("scalar", "keep_fp32")


def test_the_vectors_start_as_nothing_and_one_pass_is_the_plain_model():
    plain, once = stir(tiny_model()), tiny_model(WORD, "arch.recurrence.loops=1")
    assert not once.recurrence.vectors.any()
    once.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(once.logits(ids()), plain.logits(ids()))


def test_two_passes_are_the_u_net_run_twice_on_a_stream_with_the_vector_added():
    """x ← UNet(x + v_l): by hand, with the visits, skips and blocks written out."""
    model = stir(tiny_model(WORD, "arch.layers=2")).eval()
    (route,) = model.routes.values()
    context_x0 = model.embed(ids())
    blocks = [model.block(visit) for visit in route.visits]
    context = type("Context", (), {"x0_BTD": context_x0, "shared": {}})()
    x = context_x0
    for number in (0, 1):
        x = x + model.recurrence.vectors[number]
        skip = blocks[2 * number].forward(x, context)
        x = blocks[2 * number + 1].forward(skip + model.skip_weights[0] * skip, context)
    torch.testing.assert_close(model.hidden(ids()), rms_norm(x))


def test_no_loop_at_all_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        tiny_model(WORD, "arch.recurrence.loops=0")
