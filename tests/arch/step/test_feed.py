"""A model fed in pieces says what it says of the whole, for every option of arch, or is refused by name."""

import pytest
import torch
from torch import nn

from pgolf.arch.step.feed import Feed, unknown_parts
from pgolf.config.compose import conf_dir
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.helpers import ids, randomise, tiny_model, tiny_settings

TIME = 13
GROUPS = ("arch", "arch/recurrence", "arch/lanes", "arch/mlp", "arch/attention")


def every_option():
    for group in GROUPS:
        yield from ((f"{group}={option}",) for option in options(conf_dir(), group))
    yield from ((f"arch/addon=[{option}]",) for option in options(conf_dir(), "arch/addon"))


EXTRA = [
    ("arch/mlp=polyglu_routed", "arch.mlp.routing=causal_mean"),
    ("arch/mlp=polyglu_routed", "arch.mlp.routing=static"),
    ("arch/addon=[smear_gate]", "arch.addons.smear_gate.variant=b", "arch.addons.smear_gate.bos_mask=false"),
    ("arch/addon=[smear_gate]", "arch.addons.smear_gate.variant=c"),
    ("arch/addon=[bigram_hash]", "arch.addons.bigram_hash.hash=add"),
    ("arch/addon=[canon]", "arch.addons.canon.taps=1"),
    ("arch/addon=[canon]", "arch/recurrence=segment_loop", "arch.recurrence.carry=true"),
    ("arch=mamba_hybrid", "arch.ssm_chunk=5", "arch/addon=[canon,smear_gate]"),
    ("arch/attention=documents", "arch/recurrence=stack_loop"),
]


def ready(*words):
    model = tiny_model(*words)
    randomise(model)
    model.use(list(model.routes)[-1])
    return model.eval().requires_grad_(False)


def largest_difference(model, tokens_BT):
    """Between each step's logits and those of a full pass over its prefix."""
    feed = Feed(model)
    steps = [feed.step(ids_B) for ids_B in tokens_BT.unbind(1)]
    full = [model.logits(tokens_BT[:, : t + 1])[:, -1] for t in range(tokens_BT.size(1))]
    return max((a - b).abs().max().item() for a, b in zip(steps, full, strict=True))


@pytest.mark.filterwarnings("ignore:arch.attention", "ignore:flex_attention called without")
@pytest.mark.parametrize("words", [*every_option(), *EXTRA], ids=" ".join)
def test_steps_equal_the_full_forward_pass_for_every_option(words):
    """Or the option has no such form, and its parts say so: nothing else may make words one by one."""
    model = ready(*words)
    if unknown_parts(model):
        with pytest.raises(ConfigError, match="cannot write with this model"):
            make(tiny_settings("quant/calibration=self_generated")["quant"]["calibration"]).check(model)
        return
    time = 5 if "arch/attention=flex" in words else TIME  # unfused on a CPU, and slow
    assert largest_difference(model, ids(3, time)) < 2e-4


def test_a_model_that_is_not_causal_is_refused():
    (reason,) = unknown_parts(tiny_model("arch/mlp=polyglu_routed", "arch.mlp.routing=sequence_mean"))
    assert "later positions" in reason and "polyglu_routed.Router" in reason


@pytest.mark.parametrize("arch", ["pr1204", "pr860"])
def test_steps_are_exact_where_the_rotary_base_grows_with_the_length(arch):
    model = ready(f"arch={arch}")
    rotary = model.layers[1].mixer.rotary
    assert rotary.ntk and rotary.effective_base(40) > rotary.base
    assert largest_difference(model, ids(2, 40)) < 2e-4


def test_the_model_is_as_before_afterwards():
    model = ready("arch=pr1204")
    before = model.logits(ids())
    Feed(model).step(ids()[:, 0])
    assert torch.equal(model.logits(ids()), before)
    assert all("forward" not in vars(m) and "mix" not in vars(m) for m in model.modules())


def test_an_unknown_part_is_refused_by_name():
    model = tiny_model()
    model.layers[2].mlp.shift = nn.Conv1d(4, 4, 3)
    (reason,) = unknown_parts(model)
    assert "layers.2.mlp.shift" in reason and "Conv1d" in reason


@pytest.mark.parametrize("arch", [name for name in options(conf_dir(), "arch") if name.startswith("pr")])
def test_every_published_model_can_write_one_word_at_a_time(arch):
    assert not unknown_parts(tiny_model(f"arch={arch}"))
