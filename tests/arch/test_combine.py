"""Combinations that no source defines are refused before training, with the reason."""

import pytest

from pgolf.core.errors import ConfigError
from tests.helpers import tiny_model


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["arch/addon=[gate_output,gate_sparse]"], "gate_output and gate_sparse gate the same heads"),
        (["arch/addon=[ln_scale,ln_scale_output]"], "alternatives"),
        (["arch/addon=[token_gate]", "arch/lanes=p1"], "not defined for two lanes"),
        (["arch/addon=[hyper_connections]", "arch/lanes=p2"], "reads twice"),
        (["arch/lanes=p4", "arch.lanes.start=2"], "encoder"),
        (["arch/lanes=p1", "arch.lanes.start=6"], "start"),
        (["arch/recurrence=stack_loop", "arch/lanes=p1"], "lanes"),
        (["arch/recurrence=mini", "arch.recurrence.recurrent_layers=[7,8]"], "out of range"),
        (["arch/recurrence=mini", "arch.recurrence.untie_layers=[0]"], "untie"),
        (["arch/recurrence=encoder", "arch.recurrence.passes=4"], "passes"),
        (["arch/init=overtone", "arch.tie_embeddings=false"], "overtone|tied"),
        (["arch/addon=[value_residual_v0]", "arch.no_attention=[0]"], "attention"),
        (["arch/addon=[xsa]", "arch.addons.xsa.visits=[9]"], "range|visit"),
        (["arch/addon=[value_embedding]", "arch.addons.value_embedding.visits=[99]"], "range|visit"),
        (["arch.no_attention=[6]"], "out of range"),
        (["arch=mamba_hybrid", "arch/lanes=p1"], "lanes"),
        (["arch=mamba_hybrid", "arch/recurrence=shared"], "recurrence"),
        (["arch=mamba_hybrid", "arch/addon=[xsa]"], "xsa"),
        (["arch=mamba_hybrid", "arch/addon=[value_embedding]"], "value_embedding"),
        (["arch/addon=[gate_sparse]", "arch.addons.gate_sparse.window=33"], "window"),
    ],
)
def test_a_forbidden_combination_is_refused_with_its_reason(words, reason):
    with pytest.raises(ConfigError, match=reason):
        tiny_model(*words)
