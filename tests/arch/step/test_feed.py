"""A model fed in pieces says what it says of the whole, for every option of arch, or is refused by name."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from pgolf.arch.attention.layer import Attention, Rotary
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.mlp.polyglu_routed import Router
from pgolf.arch.step.feed import Feed, unknown_parts
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.helpers import ids, randomise, tiny_model, tiny_settings

TIME = 9
WINDOW, BLOCK = 50, 32
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


class Banded:
    """A kernel whose positions see the last ``window`` of those that another's see: written out, over all at once."""

    def __init__(self, kernel, window):
        self.kernel, self.window = kernel, window

    def mix(self, q_BTHK, k_BTGK, v_BTGK, context):
        time = q_BTHK.size(1)
        seen = self.kernel.visible(context.ids_BT, time) & torch.ones(time, time).triu(1 - self.window).bool()
        return fused(q_BTHK, k_BTGK, v_BTGK, seen[:, None])


def banded(model, window):
    """The same weights in a model that runs a whole text at once, every position seeing the last ``window``."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, Attention):
            module.kernel = Banded(module.kernel, window)
        elif isinstance(module, Rotary):
            module.base, module.ntk = module.effective_base(window), False
        elif isinstance(module, Router) and module.routing == "causal_mean":
            module._pooled = partial(mean_of_last, window=window)
    return model


def mean_of_last(x_BTD, window):
    return torch.stack([x_BTD[:, max(0, t + 1 - window) : t + 1].mean(1) for t in range(x_BTD.size(1))], 1)


def fed(model, tokens_BT, sizes, block=BLOCK, window=WINDOW):
    """The logits of pieces of these sizes, one after another."""
    feed, found = Feed(model, window, block), []
    for piece in tokens_BT.split(sizes, 1):
        found.append(model.project(feed.hidden(piece)))
        feed.commit()
        assert all(kept <= window for kept in lengths(feed)), "more is kept than the window"
    return torch.cat(found, 1)


def lengths(feed):
    """Of everything that is remembered, along the time axis; states have none."""
    yield feed.past._kept_BW.size(1)
    for _, _, step in feed.steps:
        for memory in step.memories:
            for tensor in memory if isinstance(memory, list | tuple) else ():
                yield tensor.size(1)


BLOCKS = 7
SIZES = [BLOCK] * BLOCKS + [9]  # the last is short


@pytest.mark.filterwarnings("ignore:arch.attention")
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=" ".join(words), marks=[] if words in EXTRA or "arch=" in words[0] else pytest.mark.slow)
        for words in [*every_option(), *EXTRA]
        if words != ("arch/attention=flex",)
    ],
)
@torch.inference_mode()
def test_with_a_window_blocks_equal_one_banded_forward_pass_for_every_option(words):
    """To the bit however many come together; and for the first window one plain pass. Nothing reads what comes."""
    model = ready(*words)
    if unknown_parts(model):
        return
    tokens_BT = ids(1, sum(SIZES))
    found = fed(model, tokens_BT, SIZES)
    torch.testing.assert_close(found, banded(model, WINDOW).logits(tokens_BT), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[:, :WINDOW], model.logits(tokens_BT[:, :WINDOW]), rtol=0, atol=1e-5)
    together = fed(model, tokens_BT, [2 * BLOCK, BLOCK, 4 * BLOCK, 9])
    assert torch.equal(found, together)
    known = 5 * BLOCK + 7
    unknown = torch.cat([tokens_BT[:, :known], torch.zeros_like(tokens_BT[:, known:])], 1)
    assert torch.equal(fed(model, unknown, SIZES)[:, :known], found[:, :known])


@pytest.mark.parametrize("arch", ["baseline", "pr1204", "pr1855", "mamba_hybrid"])
@torch.inference_mode()
def test_the_size_of_the_blocks_changes_rounding_alone(arch):
    model = ready(f"arch={arch}")
    tokens_BT = ids(1, 256)
    found = fed(model, tokens_BT, [32] * 8)
    for block in (64, 128):
        other = fed(model, tokens_BT, [block] * (256 // block), block)
        torch.testing.assert_close(found, other, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_nothing_is_remembered_before_it_is_committed():
    model, tokens_BT = ready("arch=pr1204"), ids(1, 3 * BLOCK)
    first, second, third = tokens_BT.split(BLOCK, 1)
    feed = Feed(model, WINDOW, BLOCK)
    feed.hidden(first), feed.commit()
    expected = feed.hidden(second)
    feed.hidden(third)
    assert torch.equal(feed.hidden(second), expected)


@torch.inference_mode()
def test_steps_without_a_window_can_be_tried_again_too():
    model, tokens_B = ready("arch=pr1204"), ids(1, 5)
    feed = Feed(model)
    for t in range(4):
        feed.step(tokens_B[:, t])
    expected = feed.hidden(tokens_B[:, 4:])
    feed.hidden(tokens_B[:, :1])
    assert torch.equal(feed.hidden(tokens_B[:, 4:]), expected)


@pytest.mark.parametrize("window", [None, WINDOW])
@torch.inference_mode()
def test_a_feed_on_a_copy_goes_on_alone(window):
    model, tokens_BT = ready("arch=pr860"), ids(1, 3 * BLOCK)
    first, second, third = tokens_BT.split(BLOCK, 1)
    feed = Feed(model, window, BLOCK)
    feed.hidden(first), feed.commit()
    twin = feed.on(copy.deepcopy(model))
    feed.hidden(third), feed.commit()
    again = Feed(model, window, BLOCK)
    again.hidden(first), again.commit()
    assert torch.equal(twin.hidden(second), again.hidden(second))
    twin.commit()
    assert (twin.past.start, feed.past.start) == (64, 64)


@torch.inference_mode()
def test_places_far_out_are_as_exact_as_the_first():
    """Attention knows distances alone: moved by ten million places the same text has the same rows."""
    model, tokens_BT = ready("arch=pr1026"), ids(1, 4 * BLOCK)

    def fed_from(start):
        feed, found = Feed(model, WINDOW, BLOCK), []
        feed.past.start = start
        for piece in tokens_BT.split(BLOCK, 1):
            found.append(model.project(feed.hidden(piece)))
            feed.commit()
        return torch.cat(found, 1)

    torch.testing.assert_close(fed_from(10_000_000), fed_from(1_000), rtol=0, atol=1e-5)


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
