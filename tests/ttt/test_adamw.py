"""Adaptation by AdamW. Expected: torch's own. What all rules share is tested in ``test_chunks``."""

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.run.rules import check
from pgolf.ttt.adam import Adam, AdamSettings
from pgolf.ttt.none import NoAdaptation
from tests.helpers import tiny_settings
from tests.ttt.making import adaptation, by_hand, evaluator_of, made, rows_of, same, scored, stream


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


def adamw(**changes):
    plain = {"chunk_tokens": 32, "window": 32, "epochs": 2, "lr": 0.01, "beta2": 0.99, "trains": ["all"]}
    return adaptation("adamw", **plain | changes)


def torchs(ttt):
    how = ttt.settings
    return lambda weights: torch.optim.AdamW(
        weights, betas=(how.beta1, how.beta2), eps=how.epsilon, weight_decay=how.weight_decay
    )


@pytest.mark.parametrize(
    "changes", [{"weight_decay": 0.3, "final_lr": 0.0}, {"trains": ["q", "scales"], "beta1": 0.0, "restart": True}]
)
def test_each_chunk_is_scored_and_then_trained_on(model, changes):
    tokens_N, ttt = stream(193), adamw(**changes)
    found = scored(model, tokens_N, ttt)
    np.testing.assert_allclose(found, by_hand(model, tokens_N, ttt, torchs(ttt)), atol=2e-4)
    fixed = scored(model, tokens_N, NoAdaptation())
    assert np.array_equal(found[:48], fixed[:48]) and np.abs(found - fixed).max() > 0.004


def test_a_step_is_torchs():
    settings = AdamSettings(0.9, 0.99, 1e-8, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
    theirs = [torch.nn.Parameter(weight.clone()) for weight in ours]
    rule, optimizer = Adam(settings), torch.optim.AdamW(theirs, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    for step in range(5):
        for weight in theirs:
            weight.grad = torch.randn(weight.shape, generator=generator) * 10.0 ** (step - 3)
        optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
        rule.step(ours, [weight.grad for weight in theirs], 0.01 * (step + 1))
        optimizer.step()
        torch.testing.assert_close(ours, [weight.detach() for weight in theirs])


def test_a_fork_of_the_rule_goes_on_alone():
    rule, weight = Adam(AdamSettings(0.9, 0.99, 1e-8, 0.0)), torch.ones(3)
    rule.step([weight], [torch.tensor([1.0, -1.0, 0.5])], 0.1)
    fork, twin = rule.fork(), weight.clone()
    for some, other in ((rule, weight), (fork, twin)):
        some.step([other], [torch.tensor([0.1, 2.0, 0.0])], 0.1)
    assert torch.equal(weight, twin) and fork.steps == 2 and fork.means[0] is not rule.means[0]


@pytest.mark.parametrize("method", ["sliding", "streaming"])
def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, method):
    tokens_N = stream(150)
    together = rows_of(evaluator_of(model, tokens_N, adamw(), workers=2, method=method), tokens_N)
    stops = [0, 31, 32, 64, 65, 148]
    assert same(rows_of(evaluator_of(model, tokens_N, adamw(), batch=1, method=method), tokens_N, stops), together)


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"lr": 0.0}], ids=str)
def test_no_epochs_or_no_rate_is_the_network_as_it_is(model, changes):
    tokens_N = stream(100)
    assert np.array_equal(scored(model, tokens_N, adamw(**changes)), scored(model, tokens_N, NoAdaptation()))


def test_weights_that_the_model_has_not_are_refused_before_the_run():
    with pytest.raises(ConfigError) as refused:
        check(tiny_settings("ttt=adamw", "ttt.trains=[bigram]"))
    (problem,) = refused.value.problems
    assert problem.startswith("ttt.trains: 'bigram': this model has no 'bigram'; there are all, attention")


@pytest.mark.parametrize("option", ["adamw", "pr606", "pr687", "pr779"])
def test_published_settings_are_there_at_their_size(option):
    from pgolf.config.compose import compose, settings

    ttt = settings(compose(["size=record", f"ttt={option}"]))["ttt"]
    published = {
        "adamw": (131_072, 3, 1e-4, 1.0, None, 1.0, False),
        "pr606": (131_072, 3, 1e-4, 1.0, None, 0.98, False),
        "pr687": (131_072, 3, 1e-4, 3.0, 0.998, 0.98, True),
        "pr779": (1_048_576, 1, 3e-5, 1.0, None, 0.98, True),
    }
    names = ("chunk_tokens", "epochs", "lr", "rise", "average", "temperature", "byte_weighted")
    assert tuple(ttt[name] for name in names) == published[option]
    assert (ttt["final_lr"], ttt["beta1"], ttt["beta2"], ttt["weight_decay"], ttt["clip"]) == (
        0.0,
        0.9,
        0.999,
        0.0,
        1.0,
    )
