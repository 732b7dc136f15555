"""Combinations that no source defines are refused before training, with the reason; others live together."""

import re

import pytest

from pgolf.core.errors import ConfigError
from tests.arch.causality import one_step
from tests.helpers import tiny_model

REFUSED = [
    (["arch/addon=[gate_output,gate_sparse]"], "gate_output and gate_sparse gate the same heads; choose one"),
    (
        ["arch/addon=[ln_scale,ln_scale_output]"],
        "ln_scale and ln_scale_output are alternatives, scaling inputs or outputs; choose one",
    ),
    (
        ["arch/addon=[token_gate]", "arch/lanes=p1"],
        "token_gate gates the whole block and is not defined for 2 lanes; choose arch/lanes=none or p3",
    ),
    (
        ["arch/addon=[hyper_connections]", "arch/lanes=p2"],
        "hyper_connections mixes what a block reads and is not defined for blocks that read 2 times; choose "
        "arch/lanes=none or p3 or p4",
    ),
    (
        ["arch/addon=[hyper_connections]", "arch.addons.hyper_connections.weights=softmax", "arch/lanes=p4"],
        "hyper_connections mixes the outputs of whole blocks and is not defined for 2 lanes; choose "
        "arch/lanes=none or p3",
    ),
    (
        ["arch/lanes=p4", "arch.lanes.start=2"],
        "arch.lanes.start: 2, but visit 2 of route 'plain' runs layer 2 in the encoder half, whose skips hold "
        "one stream; lanes can start from 3, 4, 5",
    ),
    (["arch/lanes=p1", "arch.lanes.start=6"], "arch.lanes.start: 6 out of range; the layers are 0..5"),
    (
        ["arch/recurrence=stack_loop", "arch/lanes=p1"],
        "visit 4 of route 'loops' runs layer 4 in the encoder half, whose skips hold one stream; no layer would do",
    ),
    (
        ["arch/recurrence=mini", "arch.recurrence.recurrent_layers=[7,8]"],
        "arch.recurrence.recurrent_layers: [7, 8] out of range; the layers are 0..5",
    ),
    (
        ["arch/recurrence=mini", "arch.recurrence.untie_layers=[0]"],
        "arch.recurrence.untie_layers: [0] are not among the recurrent layers [2, 3]",
    ),
    (
        ["arch/recurrence=mini", "arch.recurrence.start=1.0"],
        "arch.recurrence.start: 1 is the end of the run, where nothing is activated any more; below 1",
    ),
    (
        ["arch/recurrence=segment_loop", "arch.recurrence.starts=[0.5,1.0]"],
        "arch.recurrence.starts: 1 is the end of the run, where nothing is activated any more; below 1",
    ),
    (
        ["arch/recurrence=encoder", "arch.recurrence.start=1.0"],
        "arch.recurrence.start: 1 is the end of the run, where nothing is activated any more; below 1",
    ),
    (
        ["arch/recurrence=encoder", "arch.recurrence.passes=4"],
        "arch.recurrence.passes: 4 is out of range: from 1 to 3",
    ),
    (
        ["arch/init=overtone", "arch.tie_embeddings=false"],
        "arch.init: overtone shapes an embedding that is also the head; choose arch.tie_embeddings=true",
    ),
    (
        ["arch/addon=[value_residual_v0]", "arch.no_attention=[0]"],
        "value_residual_v0 takes the values of layer 0, which has no attention; keep it out of arch.no_attention",
    ),
    (
        ["arch=mamba_hybrid", "arch/addon=[value_residual_v0]"],
        "value_residual_v0 takes the values of layer 0, which has no attention; keep it out of arch.no_attention "
        "(with arch=mamba_hybrid: name it in arch.attention_layers)",
    ),
    (
        ["arch/addon=[xsa]", "arch.addons.xsa.visits=[9]"],
        "arch.addons.xsa.visits: [9] out of range; virtual places are 0..5",
    ),
    (
        ["arch/addon=[xsa]", "arch.addons.xsa.last=2", "arch.no_attention=[4,5]"],
        "arch.addons.xsa.last: 2 chooses [4, 5], where nothing attends; virtual places that have attention: "
        "[0, 1, 2, 3]",
    ),
    (["arch/addon=[xsa]", "arch.no_attention=[0,1,2,3,4,5]"], "arch.addons.xsa: no layer has attention"),
    (
        ["arch/addon=[value_embedding]", "arch.addons.value_embedding.visits=[99]"],
        "arch.addons.value_embedding.visits: [99] out of range; the virtual indices are 0..5",
    ),
    (["arch.no_attention=[6]"], "arch.no_attention: [6] out of range; the layers are 0..5"),
    (["arch=mamba_hybrid", "arch/lanes=p1"], "arch/lanes: p1 is not defined for arch=mamba_hybrid"),
    (
        ["arch=mamba_hybrid", "arch/recurrence=shared"],
        "arch/recurrence: shared is not defined for arch=mamba_hybrid",
    ),
    (["arch=mamba_hybrid", "arch/addon=[xsa]"], "arch/addon: xsa is not defined for arch=mamba_hybrid"),
    (
        ["arch=mamba_hybrid", "arch/addon=[value_embedding]"],
        "arch/addon: value_embedding is not defined for arch=mamba_hybrid",
    ),
    (
        ["arch/addon=[gate_sparse]", "arch.addons.gate_sparse.window=33"],
        "arch.addons.gate_sparse.window: 33 is out of range: from 1 to the model's width 32",
    ),
]


@pytest.mark.parametrize(("words", "reason"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_a_forbidden_combination_is_refused_with_its_reason(words, reason):
    with pytest.raises(ConfigError, match=re.escape(reason)):
        tiny_model(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("arch/recurrence=mini", "arch.recurrence.keys=virtual", "arch.no_attention=[0]"),
        ("arch/recurrence=mini", "arch.recurrence.keys=virtual", "arch.no_attention=[2]"),
        ("arch/recurrence=mini", "arch.recurrence.keys=virtual", "arch.no_attention=[4]"),
        ("arch/addon=[xsa]", "arch.addons.xsa.last=2", "arch.no_attention=[5]"),
        ("arch=mamba_hybrid", "arch/addon=[value_residual_v0]", "arch.attention_layers=[0,3]"),
    ],
    ids=" ".join,
)
def test_a_permitted_combination_steps_in_every_route(words):
    model = tiny_model(*words)
    for name in model.routes:
        model.activate(name)
        assert 0 < one_step(model) < 10
