"""The number of elements decides, as published: by hand on a model whose sizes lie on both sides of 65,536."""

import pytest
import torch

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.results import ParamSpec
from pgolf.quant.tensor_info import Treatment, tensor_infos
from tests.helpers import randomise, tiny_model, tiny_settings
from tests.quant.nodes import ATTENTION, EMBEDDING, MATRIX, by_name, policy

TABLE = ParamSpec("embedding", "embedding", "bigram")
CONTROL = ParamSpec("scalar", "keep_fp32", "control")
SKIP = ParamSpec("scalar", "keep_fp32", "skip")
SMEAR = ParamSpec("scalar", "keep_fp32", "smear")
HALF = ParamSpec("matrix", "keep_fp16", "bigram")
GATE = ParamSpec("scalar", "keep_fp16", "attention_gate")
MODEL = {
    "embedding": (EMBEDDING, (1024, 512)),
    "table": (TABLE, (2048, 128)),
    "up": (MATRIX, (1536, 512)),
    "k": (ATTENTION, (256, 256)),  # 65,536: not more than that
    "v": (ATTENTION, (257, 256)),
    "projection": (HALF, (512, 128)),
    "wide": (HALF, (512, 129)),
    "scales": (CONTROL, (512,)),
    "skips": (SKIP, (5, 512)),
    "smear": (SMEAR, (512,)),
    "gate": (GATE, (8, 12)),
}
INFOS = tensor_infos({n: s for n, (s, _) in MODEL.items()}, {n: shape for n, (_, shape) in MODEL.items()})
FP16, FP32 = Treatment("fp16"), Treatment("fp32")


def treatments(option="legacy_numel", **changes):
    return policy(option, bits=6, **changes).treatments(INFOS, None)


def test_elements_decide_by_hand():
    assert treatments() == {
        "embedding": Treatment("grid", 8),
        "table": Treatment("grid", 8),
        "up": Treatment("grid", 6),
        "k": FP16,
        "v": Treatment("grid", 6),
        "projection": FP16,
        "wide": Treatment("grid", 6),
        "scales": FP32,
        "skips": FP32,
        "smear": FP16,  # on no published list of names
        "gate": FP16,
    }


def test_the_tied_embedding_of_187_stays_float16_and_its_table_does_not():
    found = treatments("legacy_numel_pr187")
    assert (found["embedding"], found["table"]) == (FP16, Treatment("grid", 8))


def test_where_elements_are_asked_first_controls_are_float16_too():
    found = treatments(fp32_components=[])
    assert {found[name] for name in ("scales", "skips", "smear")} == {FP16}


def test_gates_come_before_the_elements():
    assert treatments(gate_bits=8)["gate"] == Treatment("grid", 8, to_row_maximum=True)


def test_the_number_goes_with_the_square_of_the_width():
    sizes = {"k": (72, 144), "p": (36, 144), "q": (36, 145), "c": (144,), "s": (3, 144)}
    specs = {"k": ATTENTION, "p": HALF, "q": HALF, "c": CONTROL, "s": SKIP}
    small = tensor_infos(specs, sizes)  # 65,536 * (144 / 512)² = 5,184 = 36 * 144
    found = policy("legacy_numel", width=144).treatments(small, None)
    assert (found["k"], found["p"], found["q"]) == (Treatment("grid", 5), FP16, Treatment("grid", 5))
    assert {policy("legacy_numel").treatments(small, None)[name] for name in "kpq"} == {FP16}


@pytest.mark.parametrize("size", ["tiny", "laptop", "record"])
def test_what_187_quantizes_is_the_same_at_every_size(size):
    cfg = settings(compose([f"size={size}", "arch=pr187", "quant=pr187"]))
    with torch.device("meta"):
        model = make(cfg["arch"], vocab_size=1024, bos_id=1)
    infos = tensor_infos(model.param_specs(), {name: p.shape for name, p in model.named_parameters()})
    found = make(cfg["quant"]).pipeline.policy.treatments(infos, None)
    on_grid = {info.name for info in infos if found[info.name].scheme == "grid"}
    assert on_grid == {i.name for i in infos if i.is_matrix or i.spec.kind == "table"}


def test_gptq_stores_what_only_the_number_of_elements_puts_on_the_grid():
    """At this width #860's routing head is large enough, and no score is made with it."""
    words = ("quant=gptq", "quant/policy=legacy_numel", "quant/calibration=random_tokens")
    node, model = tiny_settings("arch=pr860", *words)["quant"], tiny_model("arch=pr860")
    randomise(model)
    quantizer = make(node)
    measured = quantizer.calibration_source.collect(model.eval().requires_grad_(False), lambda: None)
    stored = by_name(quantizer.quantize(model.state_dict(), model.param_specs(), model.aliases(), measured))
    name = "addons.parts.routing_head.weight"
    assert name not in measured.hessians and (stored[name].scheme, stored[name].bits) == ("grid", 6)


@pytest.mark.parametrize("setting", ["fp16_components", "fp32_components"])
def test_a_component_that_no_tensor_has_is_named(setting):
    with pytest.raises(ConfigError, match=rf"{setting}: no tensor of component 'bigam'.*Did you mean 'bigram'"):
        treatments(**{setting: ["bigam"]})
