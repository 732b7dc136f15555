"""Of every optimizer: each parameter is in one group, the rate's scale acts, decay spares what it must, it resumes."""

import copy

import pytest
import torch

from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.make import make
from pgolf.optimizer.grouped import partition
from tests.helpers import ids, randomise, tiny_model, tiny_settings

ROUTED = ("arch/mlp=polyglu_routed", "arch.mlp.routing=causal_mean")  # has scalars that never decay
OPTIONS = options(conf_dir(), "optimizer")
KINDS = ["muoneq_r", "normuon", "pr1855", "adamw", "sgd", "muon_adamw"]  # one for each code that runs
every = pytest.mark.parametrize("option", KINDS)


def optimizer_for(model, option, *words):
    node = tiny_settings(f"optimizer={option}", *(f"optimizer.{word}" for word in words))["optimizer"]
    return make(node | ({"ns_dtype": "float32"} if "ns_dtype" in node else {}), model=model)


def step(model, optimizer, seed, scale=1.0, progress=0.5):
    optimizer.zero_grad()
    model.loss(ids(seed=seed), ids(seed=seed + 100)).backward()
    optimizer.step(scale, progress)


def test_every_parameter_is_in_exactly_one_group():
    model = tiny_model("arch.tie_embeddings=false")
    groups = partition(model)
    assert sum(len(members) for members in groups.values()) == len(list(model.parameters()))
    assert {id(p) for members in groups.values() for p in members} == {id(p) for p in model.parameters()}
    assert len(groups["embedding"]) == 1 and len(groups["head"]) == 1
    assert all(p.ndim == 2 for p in groups["matrix"])


def test_a_parameter_nobody_declared_is_an_error():
    model = tiny_model()
    model.stray = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(AssertionError, match="stray"):
        partition(model)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_trains_every_parameter_exactly_once(option):
    model = tiny_model("arch.tie_embeddings=false", *ROUTED)
    optimizer = optimizer_for(model, option)
    held = [id(p) for o in optimizer.optimizers.values() for g in o.param_groups for p in g["params"]]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in model.parameters()}


def test_matrices_of_later_layers_are_in_one_group_too():
    model = tiny_model("arch.layers=4", "arch/addon=[bigram_hash]")
    optimizer = optimizer_for(model, "muon_adamw", "late_factor=0.5")
    held = [id(p) for o in optimizer.optimizers.values() for g in o.param_groups for p in g["params"]]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in model.parameters()}
    assert [g["name"] for g in optimizer.muon.param_groups] == ["matrix", "late_matrix"]


@every
def test_a_scale_of_zero_changes_nothing(option):
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer_for(model, option), 0, scale=0.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@every
def test_without_a_gradient_only_decay_moves_and_nothing_becomes_no_number(option):
    model = tiny_model(*ROUTED)
    randomise(model)
    decays = [f"{group}_weight_decay=0.5" for group in ("matrix", "embedding", "scalar")]
    rates = [f"{group}_lr=0.1" for group in ("matrix", "embedding", "scalar")]
    momentum = ["momentum=0.0", "nesterov=false"] if option == "sgd" else []
    optimizer = optimizer_for(model, option, *decays, *rates, *momentum)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step(0.5, 0.5)
    for name, p in model.named_parameters():
        left = 1.0 if model.param_specs()[name].group == "scalar_no_decay" else 1 - 0.5 * 0.1 * 0.5
        torch.testing.assert_close(p.detach(), before[name] * left)


@every
def test_a_resumed_run_equals_an_unbroken_one_over_five_steps(option):
    unbroken, resumed = tiny_model(), tiny_model()
    first, second = optimizer_for(unbroken, option), optimizer_for(resumed, option)
    for seed in range(5):
        step(unbroken, first, seed)
    for seed in range(2):
        step(resumed, second, seed)
    third = optimizer_for(resumed, option)
    third.restore(second.state())
    for seed in range(2, 5):
        step(resumed, third, seed)
    assert third.steps == first.steps == 5
    for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@every
def test_its_state_is_in_single_precision(option):
    model = tiny_model()
    optimizer = optimizer_for(model, option)
    step(model, optimizer, 0)
    for o in optimizer.optimizers.values():
        for state in o.state_dict()["state"].values():
            assert all(value.dtype == torch.float32 for value in state.values() if value is not None)
