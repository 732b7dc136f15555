"""XSA removes the component along a position's own value, for all heads of a group, where it is chosen."""

import pytest
import torch

from pgolf.arch.addon.base import ModelOutline
from pgolf.arch.addon.xsa import XSA, ExclusiveSelfAttention, exclude_self
from pgolf.arch.visits import route
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import added_parameters, assert_sound
from tests.arch.causality import assert_causal
from tests.helpers import ids, randomise, tiny_model


class Watch(torch.nn.Module):
    """Keeps what the site ``heads`` sees after XSA."""

    def forward(self, y_BTHK, v_BTGK, h_BTD, context):
        self.seen = y_BTHK.detach(), v_BTGK.detach()
        return y_BTHK


def watched(model, key="0_0"):
    randomise(model)
    watch = Watch()
    model.addons.block_sites[key]["heads"].append(watch)
    model.hidden(ids())
    return watch.seen


@pytest.mark.parametrize("word", ["arch.addons.xsa.last=null", "arch.addons.xsa.last=2"])
def test_xsa_is_causal_compiles_and_stays_finite(word):
    assert_sound("arch/addon=[xsa]", word)


def test_xsa_on_a_list_is_causal():
    assert_causal(tiny_model("arch/addon=[xsa]", "arch.addons.xsa.visits=[1,3]"))


def test_xsa_has_no_parameters():
    assert added_parameters("arch/addon=[xsa]") == 0


def test_the_output_of_every_head_of_a_group_is_orthogonal_to_its_value():
    y, v = torch.randn(2, 5, 6, 8), torch.randn(2, 5, 2, 8)
    out = exclude_self(y, v)
    for head in range(6):
        assert (out[:, :, head] * v[:, :, head // 3]).sum(-1).abs().max() < 1e-5


def test_the_broadcast_group_equals_repeated_key_value_heads():
    y, v = torch.randn(2, 5, 6, 8), torch.randn(2, 5, 2, 8)
    u = torch.nn.functional.normalize(v.repeat_interleave(3, dim=2), dim=-1)
    torch.testing.assert_close(exclude_self(y, v), y - (y * u).sum(-1, keepdim=True) * u)


def test_the_first_position_sees_only_itself_and_gets_no_update():
    y, _ = watched(tiny_model("arch/addon=[xsa]"))
    assert y[:, 0].abs().max() < 1e-6 < y[:, 1:].abs().max()


def test_the_value_is_the_one_that_attention_consumed():
    model = tiny_model("arch/addon=[xsa]")
    model.addons.block_sites["0_0"]["value"].append(lambda v_BTGK, context: v_BTGK + 1.0)
    y, v = watched(model)
    assert (y * v).sum(-1).abs().max() < 1e-5
    assert (y * (v - 1.0)).sum(-1).abs().max() > 1e-3


def test_a_zero_value_changes_nothing_and_has_a_finite_gradient():
    y, v = torch.randn(1, 3, 4, 8), torch.zeros(1, 3, 2, 8, requires_grad=True)
    out = exclude_self(y, v)
    assert torch.equal(out, y)
    out.sum().backward()
    assert torch.isfinite(v.grad).all()


def test_bf16_keeps_its_dtype_and_projects_in_fp32():
    y, v = torch.randn(2, 5, 4, 64).bfloat16(), torch.randn(2, 5, 2, 64).bfloat16()
    out = exclude_self(y, v)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, exclude_self(y.float(), v.float()).bfloat16())


def acting(spec, facts, plan):
    """The virtual places of a route where XSA acts."""
    found = []
    for visit in facts.routes[plan].visits:
        part = spec.build(None, "heads", facts.visits[visit.key], facts)
        if part is not None and part.chosen(visit):
            found.append(visit.virtual)
    return found


def facts_of(*, keys="visit", attention=range(11)):
    plain = route("plain", range(11), keys=keys)
    again = route("recurrent", [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 10], keys=keys)
    layers = tuple(range(11))
    return ModelOutline(
        {"plain": plain, "recurrent": again},
        attention_layers=tuple(attention),
        mixer_layers=layers,
        mlp_layers=layers,
    )


@pytest.mark.parametrize("keys", ["visit", "physical", "virtual"])
def test_last_eleven_of_thirteen_visits_leave_out_the_first_two_whatever_shares_controls(keys):
    facts = facts_of(keys=keys)
    spec = XSA(visits="all", last=11, index="virtual")
    assert acting(spec, facts, "recurrent") == list(range(2, 13))
    assert acting(spec, facts, "plain") == list(range(2, 11))


@pytest.mark.parametrize("keys", ["visit", "physical", "virtual"])
def test_a_list_may_mean_layers_or_visits(keys):
    facts = facts_of(keys=keys)
    assert acting(XSA(visits=[4, 10], last=None, index="physical"), facts, "recurrent") == [4, 6, 12]
    assert acting(XSA(visits=[4, 10], last=None, index="virtual"), facts, "recurrent") == [4, 10]


def test_all_means_all_layers_that_have_attention():
    facts = facts_of(attention=range(1, 11))
    spec = XSA(visits="all", last=None, index="virtual")
    assert spec.build(None, "heads", facts.visits["0_0"], facts) is None
    assert isinstance(spec.build(None, "heads", facts.visits["1_0"], facts), ExclusiveSelfAttention)


def test_unlisted_visits_are_left_alone():
    model = tiny_model("arch/addon=[xsa]", "arch.addons.xsa.visits=[3]")
    assert not model.addons.block_sites["2_0"]["heads"]
    y, v = watched(model, "3_0")
    assert (y * v).sum(-1).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arch.addons.xsa.visits=[2,6]"], r"\[6\] out of range; virtual places are 0..5"),
        (["arch.addons.xsa.visits=[-1]"], r"\[-1\] out of range"),
        (["arch.addons.xsa.last=7"], "7 is out of range; there are 6"),
        (["arch.addons.xsa.visits=[1]", "arch.addons.xsa.last=2"], "not both"),
        (
            ["arch.addons.xsa.last=1", "arch.no_attention=[5]"],
            r"last: 1 chooses \[5\], where nothing attends",
        ),
        (
            ["arch.addons.xsa.last=2", "arch.addons.xsa.index=physical", "arch.no_attention=[4,5]"],
            r"\[4, 5\], where nothing attends; physical places that have attention: \[0, 1, 2, 3\]",
        ),
        (["arch.addons.xsa.visits=[]"], "leave the addon out"),
        (["arch.addons.xsa.visits=[0,1]", "arch.no_attention=[0]"], r"\[0\] have no attention"),
        (["arch.no_attention=[0,1,2,3,4,5]"], "no layer has attention"),
    ],
)
def test_places_that_do_not_exist_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model("arch/addon=[xsa]", *words)


def test_of_two_visits_that_share_controls_only_the_chosen_one_is_changed():
    model = tiny_model("arch/recurrence=segment_loop", "arch/addon=[xsa]", "arch.addons.xsa.visits=[4]")
    randomise(model)
    plan = max(model.routes.values(), key=lambda s: len(s.visits))
    model.use(plan.name)
    repeat = plan.visits[4]
    twins = [v.virtual for v in plan.visits if v.key == repeat.key]
    assert len(twins) > 1, "the visit shares its controls"
    along = {}

    def watch(y_BTHK, v_BTGK, h_BTD, context):
        along[context.visit.virtual] = (y_BTHK * v_BTGK).sum(-1).abs().max().item()
        return y_BTHK

    model.addons.block_sites[repeat.key]["heads"].append(watch)
    model.hidden(ids())
    assert {v: a < 1e-5 for v, a in along.items()} == {v: v == 4 for v in twins}
