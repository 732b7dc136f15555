"""The published models, rebuilt: their parameter counts at record size, and legal shapes at every size."""

import pytest
import torch

from pgolf.config.check import check
from pgolf.config.compose import compose, settings
from pgolf.config.make import make
from tests.arch.causality import assert_causal
from tests.helpers import tiny_model

# Spec arch §12. #1204's 30,192,302 counts the matrices and controls of a layer-0 attention that is never used
# (decisions 11): 786,432 + 512 + 8 fewer here.
COUNTS = {
    "baseline": (1024, 17_059_912),
    "pr187": (1024, 25_254_992),
    "pr187_recurrent": (1024, 25_222_224),
    "pr860": (1024, 33_328_877),
    "pr1026": (1024, 26_928_220),
    "pr687": (1024, 33_317_980),
    "pr1204": (1024, 30_192_302 - 786_432 - 512 - 8),
    "pr1855": (8192, 35_945_671),
    "mamba_hybrid": (1024, 17_885_904),
}
PRESETS = [*COUNTS, "parallel_recur"]


def record_model(arch, vocab_size, *words):
    node = settings(compose(["size=record", f"arch={arch}", *words]))["arch"]
    with torch.device("meta"):
        return make(node, vocab_size=vocab_size, bos_id=1)


@pytest.mark.parametrize("arch", COUNTS)
def test_the_record_model_has_the_published_parameter_count(arch):
    vocab_size, count = COUNTS[arch]
    words = ["arch.ssm_state=16"] if arch == "mamba_hybrid" else []
    assert sum(p.numel() for p in record_model(arch, vocab_size, *words).parameters()) == count


def test_keeping_layer_0s_unused_attention_gives_1204s_published_count():
    model = record_model("pr1204", 1024, "arch.no_attention=[]")
    assert sum(p.numel() for p in model.parameters()) == 30_192_302


@pytest.mark.parametrize("size", ["laptop", "record", "tiny"])
@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_is_legal_at_every_size(arch, size):
    check(settings(compose([f"size={size}", f"arch={arch}"])))


@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_is_causal_in_every_schedule(arch):
    model = tiny_model(f"arch={arch}")
    for name in model.schedules:
        model.activate(name)
        assert_causal(model)


@pytest.mark.parametrize("arch", PRESETS)
def test_every_preset_compiles_as_one_graph(arch):
    torch._dynamo.reset()
    model = tiny_model(f"arch={arch}")
    model.activate(list(model.schedules)[-1])
    tokens = torch.randint(2, 90, (2, 24))
    compiled = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    model.eval()
    torch.testing.assert_close(compiled(tokens, tokens), model.loss(tokens, tokens))


def test_an_addon_word_adds_to_a_preset_and_a_tilde_removes_from_it():
    added = settings(compose(["arch=pr1855", "arch/addon=[canon]"]))["arch"]["addons"]
    assert {"canon", "smear_gate", "gate_sparse"} <= added.keys()
    removed = settings(compose(["arch=pr1855", "~arch.addons.smear_gate"]))["arch"]["addons"]
    assert "smear_gate" not in removed and "gate_sparse" in removed


def test_a_presets_child_can_be_replaced():
    arch = settings(compose(["arch=parallel_recur", "arch/lanes=p4"]))["arch"]
    assert arch["lanes"]["_target_"].endswith("P4") and arch["recurrence"]["_target_"].endswith(
        "MiniRecurrence"
    )
