"""Training rounds to the grid that the run exports to, to the last bit, where the quantizer allows it."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.qat.grid_plan import grid_plan, gridded, row_grids
from tests.helpers import randomise, tiny_model
from tests.qat.qats import exported, quantizer

RTN = [
    ("quant=int5_rtn",),
    ("quant=int8_rtn",),
    ("quant=gptq_lite",),
    ("quant=int6_rtn", "quant/scale=sdclip"),
    ("quant=int6_rtn", "quant/scale=percentiles_legacy"),
    ("quant=int5_rtn", "quant.scale.percentile=0.9"),
    ("quant=int5_rtn", "quant/policy=int6_last_n"),
    ("quant=int5_rtn", "quant/pruning=magnitude_mask"),
    ("quant=pr187",),
    ("quant=ternary",),
    ("quant=binary",),
]


def model_of(*words):
    model = tiny_model(*words)
    randomise(model)
    return model


@pytest.mark.parametrize("words", RTN, ids=" ".join)
def test_rounded_weights_are_the_exported_ones_bit_for_bit(words):
    model = model_of()
    plan, stored = grid_plan(quantizer(*words), model, "ste"), exported(model, *words)
    parameters = dict(model.named_parameters())
    for name, grid in plan.items():
        value, _ = grid.round(parameters[name].detach())
        assert value.dtype == torch.float32 and torch.equal(value, stored[name]), name
    for name, parameter in parameters.items():
        rounded = not torch.equal(parameter.half().float(), stored[name])
        assert name in plan or not rounded or torch.equal(parameter, stored[name]), name


def test_gates_that_a_policy_puts_on_the_grid_are_in_the_plan():
    words = ("arch/addon=[gate_small]", "quant=int6_rtn", "quant/policy=gate8")
    model = model_of(*words)
    plan, stored = grid_plan(quantizer(*words), model, "ste"), exported(model, *words)
    gates = [name for name in plan if model.param_specs()[name].storage.startswith("keep")]
    assert gates
    for name in gates:
        assert torch.equal(plan[name].round(model.get_parameter(name).detach())[0], stored[name])


def test_shared_matrices_are_one_tensor():
    model = model_of("arch/recurrence=mini", "arch.recurrence.untie_mlp=down")
    assert not set(grid_plan(quantizer(), model, "ste")) & set(model.aliases())


def test_a_gptq_quantizer_gives_its_step_sizes():
    words = ("quant=gptq", "quant.bits=5", "quant.embedding_bits=6", "quant/scale=sdclip")
    model = model_of()
    for name, grid in row_grids(quantizer(*words), model, "ste").items():
        weight = model.get_parameter(name).detach()
        rtn = row_grids(quantizer("quant=int5_rtn", "quant/scale=sdclip"), model, "ste")[name]
        assert torch.equal(grid.scale(weight), rtn.scale(weight))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("quant=none",), "no grid; NoQuantizer stores every weight as it is"),
        (("quant=mixed_gptq",), "policy=ErrorPerByte decides after training"),
        (("quant=int6_gptq", "quant/scale=hessian_sdclip"), "scale=HessianSDClip decides after training"),
        (("quant=sdclip_gptq", "quant.target_bytes=900000"), "target_bytes multiplies every k after"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_grid_that_training_cannot_know_is_refused(words, text):
    with pytest.raises(ConfigError, match=text):
        grid_plan(quantizer(*words), tiny_model(), "ste")


def test_a_method_that_needs_steps_refuses_levels_per_group():
    with pytest.raises(ConfigError, match="Ternary has levels per group"):
        row_grids(quantizer("quant=ternary"), tiny_model(), "soft_round")


def test_what_is_rounded_is_known_even_where_the_bits_are_not():
    model = tiny_model()
    assert gridded(quantizer("quant=mixed_gptq"), model, "crown_q") == gridded(quantizer(), model, "crown_q")


def test_the_plan_reads_no_weights():
    with torch.device("meta"):
        model = tiny_model()
    assert grid_plan(quantizer(), model, "ste")
