"""Facts of a small model by the names that a real one has."""

from pgolf.core.results import ParamSpec
from pgolf.quant.tensor_info import facts_of
from tests.quant.nodes import ATTENTION, CONTROL, EMBEDDING, MATRIX

GATE = ParamSpec("scalar", "keep_fp16", "attention_gate")


def model(layers=4, without_attention=(), gates=False):
    """Specs and shapes: an embedding, per layer q, k, up, down and a control, and an MLP that a repeat owns."""
    specs, shapes = {"embedding": EMBEDDING}, {"embedding": (32, 8)}

    def add(name, spec, shape):
        specs[name], shapes[name] = spec, shape

    for i in range(layers):
        if i not in without_attention:
            add(f"layers.{i}.mixer.q.weight", ATTENTION, (8, 8))
            add(f"layers.{i}.mixer.k.weight", ATTENTION, (4, 8))
        add(f"layers.{i}.mlp.up.weight", MATRIX, (16, 8))
        add(f"layers.{i}.mlp.down.weight", MATRIX, (8, 16))
        add(f"controls.{i}_0.mlp_scale", CONTROL, (8,))
        if gates:
            add(f"addons.block_sites.{i}_0.heads.0.weight", GATE, (2, 8))
            add(f"addons.block_sites.{i}_0.heads.0.bias", CONTROL, (2,))
    add("own_mlps.1_1.up.weight", MATRIX, (16, 8))
    return specs, shapes


def facts(**settings):
    return facts_of(*model(**settings))
