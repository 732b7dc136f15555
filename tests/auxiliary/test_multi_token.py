"""Further tokens are predicted from the same positions; own heads train and are nowhere but in training."""

import copy

import pytest
import torch
import torch.nn.functional as F

from pgolf.auxiliary.base import WithTerms
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.optimizer.muon_adamw import partition
from pgolf.train.warmup import warm_up
from tests.auxiliary.terms import attached, training, without_terms
from tests.helpers import ids, randomise, tiny_model, tiny_settings

NAME = "multi_token"
OWN = (f"auxiliary.{NAME}.heads=own", f"auxiliary.{NAME}.weights=[0.2]", f"auxiliary.{NAME}.fades=null")


def test_with_the_models_head_each_further_token_costs_its_weight_times_its_loss():
    model, _ = attached(NAME)
    randomise(model)
    x, y = ids(), ids(seed=1)
    with torch.no_grad():
        logits, expected = model.logits(x), without_terms(model, x, y)
        for further, weight in ((1, 0.5), (2, 0.25)):
            extra = F.cross_entropy(logits[:, :-further].flatten(0, 1), y[:, further:].flatten())
            expected = expected + weight * extra
        torch.testing.assert_close(model.loss(x, y), expected)


def test_with_its_own_heads_they_are_zero_at_first_and_cost_what_guessing_costs():
    model, term = attached(NAME, *OWN)
    randomise(model)
    x, y = ids(), ids(seed=1)
    with torch.no_grad():
        extra = model.loss(x, y) - without_terms(model, x, y)
    assert not term.head_0.any() and extra.item() == pytest.approx(0.2 * torch.tensor(97.0).log().item(), abs=1e-5)


def test_in_evaluation_there_is_no_term():
    model, _ = attached(NAME)
    x, y = ids(), ids(seed=1)
    model.eval()
    assert torch.equal(model.loss(x, y), without_terms(model, x, y))


def test_weights_fall_over_the_run_and_end_at_nothing():
    model, term = attached(NAME)
    seen = []
    for fraction in (0.0, 1 / 6, 0.333, 0.5, 0.667, 1.0):
        term.at_progress(fraction)
        seen.append(term.strengths.tolist())
    expected = [[0.5, 0.25], [0.5, 0.125], [0.5, 0.0], [0.25, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert [pytest.approx(now, abs=1e-3) for now in expected] == seen
    x, y = ids(), ids(seed=1)
    with torch.no_grad():
        assert torch.equal(model.loss(x, y), without_terms(model, x, y))


def test_own_heads_train_pull_at_the_model_and_are_no_part_of_it():
    trainer = training(NAME, *OWN, steps=3)
    names, count = set(trainer.model.state_dict()), sum(p.numel() for p in trainer.model.parameters())
    result = trainer.fit()
    plain = tiny_model()
    assert names == set(plain.state_dict()) == set(result.state) == set(trainer.model.param_specs())
    assert count == sum(p.numel() for p in plain.parameters())
    head = trainer.beside[NAME].head_0
    assert head.any() and head.grad.any()
    model, term = attached(NAME, *OWN)
    randomise(model)
    term.head_0.data.normal_()
    x, y = ids(), ids(seed=1)
    pulled = torch.autograd.grad(model.loss(x, y), model.embedding)[0]
    model.terms = ()
    assert not torch.equal(pulled, torch.autograd.grad(model.loss(x, y), model.embedding)[0])


def test_own_heads_are_in_one_group_and_clipped_with_the_rest():
    model, term = attached(NAME, *OWN)
    groups = partition(WithTerms(model, torch.nn.ModuleDict({NAME: term})))
    assert [p is term.head_0 for p in groups["head"]] == [True]
    trainer = training(NAME, *OWN, steps=1)
    trainer.beside[NAME].weights = (1e6,)
    trainer.beside[NAME].strengths.fill_(1e6)
    trainer.forward_backward()
    norm = torch.stack([p.grad.norm() for p in trainer.parameters if p.grad is not None]).norm()
    assert norm == pytest.approx(0.3, rel=1e-3)


def test_a_copy_of_the_model_carries_no_copy_of_the_heads():
    model, term = attached(NAME, *OWN)
    assert copy.deepcopy(model).terms[0] is term


@pytest.mark.parametrize("words", [(), OWN], ids=["shared", "own"])
def test_a_run_goes_on_to_the_bit_and_a_warm_up_leaves_no_trace(words):
    whole, states = training(NAME, *words, steps=6), {}
    keep = type("Keep", (type(whole.hooks[0]).__base__,), {"at_rest": lambda s, t: states.update({t.step: t.state()})})
    whole.hooks.append(keep())
    warm_up(whole, 0.0)
    expected = whole.fit()
    again = training(NAME, *words, steps=6, seed=1)
    again.hooks.append(keep())
    result = again.fit(resume=copy.deepcopy(states[2]))
    cold = training(NAME, *words, steps=6)
    cold.hooks.append(keep())
    for other in (result, cold.fit()):
        assert all(torch.equal(other.state[name], value) for name, value in expected.state.items())
    for name, value in whole.beside.state_dict().items():
        assert torch.equal(again.beside.state_dict()[name], value)


def test_a_compiler_finds_one_graph_of_all_terms_that_follows_the_weights():
    torch._dynamo.reset()
    model, term = attached(NAME, *OWN[:1], model=tiny_model("arch.layers=2"))
    model.terms = (*attached("encoder", model=model)[0].terms, term)
    randomise(model)
    compiled = torch.compile(model.loss, fullgraph=True, backend="eager", dynamic=False)
    x, y = ids(), ids(seed=1)
    torch.testing.assert_close(compiled(x, y), model.loss(x, y))
    term.at_progress(0.5)
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close(compiled(x, y), model.loss(x, y))
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("weights=[]", "one number above 0 for each"),
        ("weights=[0.5,-1]", "one number above 0"),
        ("fades=[[0.1,0.2]]", "for each of 2 further tokens"),
        ("fades=[[0.2,0.1],[0,1]]", "two rising fractions"),
        ("fades=[[0.2,1.1],[0,1]]", "two rising fractions"),
    ],
)
def test_what_makes_no_sense_is_refused(words, message):
    node = tiny_settings(f"auxiliary=[{NAME}]", f"auxiliary.{NAME}.{words}")["auxiliary"][NAME]
    with pytest.raises(ConfigError, match=message):
        make(node, model=tiny_model())
