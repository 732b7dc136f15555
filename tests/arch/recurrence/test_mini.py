"""Mini depth recurrence: plain until the switch, tied at the switch, its own MLPs afterwards."""

import pytest
import torch

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.optimizer.muon_adamw import partition
from tests.arch.causality import one_step
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
    stir,
)
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=mini"
NOW = "arch.recurrence.start=0"
TIED = "arch.recurrence.untie_mlp=none"
DOWN = "arch.recurrence.untie_mlp=down"
VIRTUAL = "arch.recurrence.keys=virtual"
MLP = 2 * 32 * 64


def test_the_visits_are_the_published_ones():
    plain, recurrent = form(WORD, "arch.recurrence.recurrent_layers=[4,5]").routes()
    assert halves(plain) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10])
    assert halves(recurrent) == ([0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9, 10])
    assert recurrent.skips == 6


def test_decoder_visits_pop_skips_in_the_published_order():
    model = stir(tiny_model(WORD, TIED, NOW, "arch.layers=11", "arch.recurrence.recurrent_layers=[4,5]"))
    pushed, popped = [], []
    after, skip = model.recurrence.after_visit, model._skip

    def watch(visit, stream, *rest):
        if visit.half == "encoder":
            pushed.append((visit.physical, stream[0]))
        return after(visit, stream, *rest)

    def pop(stream, skip_BTD, index, visit):
        (found,) = [physical for physical, x in pushed if x is skip_BTD]
        popped.append((visit.physical, found))
        return skip(stream, skip_BTD, index, visit)

    model.recurrence.after_visit, model._skip = watch, pop
    model.logits(ids())
    assert popped == [(4, 5), (5, 4), (6, 3), (7, 2), (8, 1), (9, 0)]


@pytest.mark.parametrize(
    "words", [(), (TIED, NOW), (DOWN, "arch.recurrence.growth_weight=0.01"), (VIRTUAL,)], ids=" ".join
)
def test_it_is_sound_in_every_route(words):
    assert_sound(WORD, *words)


def test_each_route_compiles_as_one_graph():
    penalty = "arch.recurrence.growth_weight=0.01"
    assert_compiles(WORD, "arch.recurrence.recurrent_layers=[1]", DOWN, penalty)


@pytest.mark.parametrize("words", [(), (TIED,), (DOWN,), (VIRTUAL,)], ids=" ".join)
def test_every_parameter_learns_once_active(words):
    assert_every_parameter_learns(WORD, *words)


def test_parameters_are_the_stated_ones():
    plain = count(tiny_model())
    assert count(tiny_model(WORD, TIED)) == plain + 2 * CONTROLS + SKIPS
    assert count(tiny_model(WORD)) == plain + 2 * CONTROLS + SKIPS + 2 * MLP
    assert count(tiny_model(WORD, DOWN)) == plain + 2 * CONTROLS + SKIPS + MLP
    assert count(tiny_model(WORD, "arch.recurrence.untie_layers=[3]")) == (plain + 2 * CONTROLS + SKIPS + MLP)
    assert count(tiny_model(WORD, TIED, VIRTUAL)) == plain + 2 * CONTROLS + SKIPS


def test_the_published_untied_mlps_have_3_145_728_parameters():
    words = ("arch.layers=11", "arch.mlp_hidden=1536", "arch.recurrence.recurrent_layers=[4,5]")
    arch = settings(compose(["size=record", WORD, *words]))["arch"]
    with torch.device("meta"):
        model = make(arch, vocab_size=1024, bos_id=1)
    assert count(model.own_mlps) == 3_145_728
    specs = model.param_specs()
    for name in ("own_mlps.4_1.up.weight", "own_mlps.5_1.down.weight"):
        assert (specs[name].group, specs[name].storage) == ("matrix", "matrix")


@pytest.mark.parametrize("words", [(), (DOWN,), (VIRTUAL,)], ids=" ".join)
def test_the_inactive_route_is_the_plain_model(words):
    plain, mini = tiny_model(), tiny_model(WORD, *words)
    stir(mini)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            key = name
            if name.startswith("controls.") and VIRTUAL in words:
                key = name.replace("controls.", "controls.v").replace("_0.", ".", 1)
            parameter.copy_(mini.state_dict()[key][: len(parameter)])
    assert mini.active == "plain"
    assert torch.equal(mini.logits(ids()), plain.logits(ids()))


@pytest.mark.parametrize("word", ["arch.recurrence.untie_mlp=full", DOWN])
def test_just_after_the_switch_the_untied_model_equals_the_tied_one(word):
    tied, untied = stir(tiny_model(WORD, TIED)), tiny_model(WORD, word)
    untied.load_state_dict(tied.state_dict(), strict=False)
    assert not any(own.any() for own, _ in untied.own_weights())
    assert not tied.activate("recurrent")
    copied = untied.activate("recurrent")
    assert copied["own_mlps.2_1.down.weight"] == "layers.2.mlp.down.weight"
    assert len(copied) == (4 if word.endswith("full") else 2)
    assert torch.equal(untied.logits(ids()), tied.logits(ids()))
    own = untied.own_mlps["2_1"].down.weight
    with torch.no_grad():
        own.add_(1.0)
    assert not torch.allclose(untied.logits(ids()), tied.logits(ids()))


def test_switching_again_does_not_copy_again():
    model = stir(tiny_model(WORD))
    model.activate("recurrent")
    with torch.no_grad():
        model.own_mlps["2_1"].down.weight.add_(1.0)
    kept = model.own_mlps["2_1"].down.weight.clone()
    assert model.activate("recurrent") == {}
    model.use("plain")
    model.use("recurrent")
    assert torch.equal(model.own_mlps["2_1"].down.weight, kept)


def test_own_mlps_learn_only_while_active():
    model = stir(tiny_model(WORD)).train()
    for name, learns in (("plain", False), ("recurrent", True)):
        model.activate(name)
        model.zero_grad()
        model.loss(ids(), ids(seed=1)).backward()
        assert all((p.grad is not None) == learns for p in model.own_mlps.parameters())


def test_always_on_starts_with_copies():
    model = tiny_model(WORD, NOW)
    assert list(model.routes) == [model.active] == ["recurrent"] and not model.activations()
    assert all(torch.equal(own, shared) for own, shared in model.own_weights())
    assert model.own_mlps["3_1"].up.weight.any()


def test_down_shares_the_first_matrix_and_stores_it_once():
    model = stir(tiny_model(WORD, DOWN))
    assert model.own_mlps["2_1"].up.weight is model.layers[2].mlp.up.weight
    assert model.own_mlps["2_1"].down.weight is not model.layers[2].mlp.down.weight
    assert model.aliases() == {f"own_mlps.{i}_1.up.weight": f"layers.{i}.mlp.up.weight" for i in (2, 3)}
    stored = artifact(model).state
    assert sum(t.arrays["values"].size for t in stored.tensors) == count(model)
    assert dict(stored.aliases) == model.aliases()


def test_down_needs_an_mlp_with_one_output_matrix():
    from pgolf.arch.mlp.relu2 import ReLU2
    from pgolf.arch.unet import _own_mlp

    mlp = ReLU2(dims=tiny_model().dims)
    mlp.down.writes_residual = False
    with pytest.raises(ConfigError, match="ReLU2 has 0"):
        _own_mlp(mlp, "down")


def test_published_keys_hand_a_repeat_its_successors_scalars():
    mini = form(WORD, VIRTUAL, "arch.recurrence.recurrent_layers=[4,5]")
    plain, recurrent = mini.routes()
    assert {v.physical: v.key for v in plain.visits}[6] == "v6"
    assert recurrent.visits[6].physical == 4 and recurrent.visits[6].key == "v6"


@pytest.mark.parametrize("without", [0, 2, 4])
@pytest.mark.parametrize("addons", ["", "canon,gate_output,xsa"])
def test_published_keys_live_with_layers_without_attention(without, addons):
    """A place in the list may fall on a layer with attention in one route and on one without in the other."""
    words = WORD, VIRTUAL, f"arch.no_attention=[{without}]", f"arch/addon=[{addons}]"
    model = tiny_model(*words)
    partition(model)
    for name in model.routes:
        model.activate(name)
        assert 0 < one_step(model) < 10
        for visit in model.routes[name].visits:
            attends = visit.physical != without
            controls = model.controls[visit.key]
            assert not attends or (controls.q_gain is not None and hasattr(controls, "mixer_scale"))
    assert_sound(*words)


def test_controls_that_no_visit_needs_are_absent():
    first = tiny_model(WORD, VIRTUAL, "arch.no_attention=[0]").controls["v0"]
    assert first.q_gain is None and not hasattr(first, "mixer_scale")
    assert tiny_model(WORD, VIRTUAL, "arch.no_attention=[2]").controls["v4"].q_gain is not None


def test_the_growth_penalty_is_of_the_repeated_layers_and_of_training_only():
    words = WORD, TIED, "arch.recurrence.start_step=5", "arch.recurrence.start=null"
    plain = stir(tiny_model(*words))
    model = stir(tiny_model(*words, "arch.recurrence.growth_weight=0.1"))
    for m in (plain, model):
        with torch.no_grad():
            for layer in (2, 3):
                m.layers[layer].mlp.down.weight.mul_(30)  # so that the repeats more than double the stream
    x, y = ids(), ids(seed=1)
    assert torch.equal(model.train().loss(x, y), plain.train().loss(x, y)), "penalised while inactive"
    for m in (plain, model):
        m.activate("recurrent")
    assert torch.equal(model.eval().loss(x, y), plain.eval().loss(x, y))
    found, left = {}, {}
    enter, leave = model.recurrence.before_visit, model.recurrence.after_visit

    def watch_before(visit, stream, context):
        found[visit.virtual] = stream[0].detach()
        return enter(visit, stream, context)

    def watch_after(visit, stream, *rest):
        left[visit.virtual] = stream[0].detach()
        return leave(visit, stream, *rest)

    model.recurrence.before_visit, model.recurrence.after_visit = watch_before, watch_after
    difference = model.train().loss(x, y) - plain.train().loss(x, y)
    before, after = found[2], left[5]  # visits 2 and 3 are the first of the pair, 4 and 5 the repeats
    ratio = (after - before).square().sum().sqrt() / before.square().sum().sqrt()
    assert ratio > 1.1
    torch.testing.assert_close(difference, 0.1 * (ratio - 1) ** 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recurrent_layers=[2,9]"], "out of range"),
        (["untie_layers=[1]"], r"\[1\] are not among the recurrent layers \[2, 3\]"),
        (["untie_layers=[2]", "untie_mlp=none"], "has no effect"),
        (["untie_mlp=half"], "none of none, down, full"),
        (["keys=physical"], "none of visit, virtual"),
        (["start=null"], "exactly one"),
        (["start=1.0"], "arch.recurrence.start: 1 is the end of the run"),
        (["start_step=10"], "exactly one"),
    ],
)
def test_impossible_settings_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model(WORD, *(f"arch.recurrence.{word}" for word in words))
