"""The unadapted network's rows beside those of the network that adapts."""

import numpy as np
import pytest

from pgolf.config.compose import compose
from pgolf.config.compose import settings as settings_of
from pgolf.core.errors import ConfigError
from pgolf.eval.evaluator import Evaluator
from pgolf.run.rules import check
from tests.eval.fakes import AllRows
from tests.eval.kernels import average
from tests.ttt.making import evaluator_of, made, sgd, stream


@pytest.fixture(scope="module")
def model():
    return made()


def rows(model, tokens_N, ttt, stops=(), stages=(), **how):
    one = evaluator_of(model, tokens_N, ttt, **how)
    evaluator = Evaluator(one.network, one.plan, one.facts, stages)
    coder = AllRows(tokens_N, stops, one.plan.lane_starts)
    evaluator.run(coder, coder.first_tokens)
    return coder.row


@pytest.mark.parametrize("method", ["sliding", "streaming"])
@pytest.mark.parametrize("changes", [{}, {"temperature": 0.9}], ids=str)
def test_a_mixer_that_takes_the_mean_does_what_keeping_half_does(model, method, changes):
    tokens_N = stream(193)
    half = rows(model, tokens_N, sgd(keep=0.5, **changes), method=method)
    beside = sgd(unadapted_expert=True, **changes)
    stages = [*beside.stages(None), average()]
    found = rows(model, tokens_N, beside, stages=stages, method=method)
    assert len(stages) == 2 and len(found) == 192
    for place, row_V in found.items():
        np.testing.assert_allclose(row_V, half[place], atol=1e-6)
    late = rows(model, tokens_N, beside, (0, 40, 97, 191), stages, method=method, batch=1, workers=2)
    assert late and all(np.array_equal(row_V, found[place]) for place, row_V in late.items())


def test_it_is_made_where_it_is_an_expert_alone(model):
    evaluators = [evaluator_of(model, stream(97), sgd(unadapted_expert=expert)) for expert in (False, True)]
    assert [evaluator.network.frozen is None for evaluator in evaluators] == [True, False]
    assert ["unadapted" in evaluator.network.offers for evaluator in evaluators] == [False, True]
    assert sgd().stages(None) == ()


def test_it_wants_a_mixer():
    words = ["size=tiny", "ttt=sgd", "ttt.unadapted_expert=true", "ngram=none", "mixer=none"]
    with pytest.raises(ConfigError, match="mixer: none passes on the network's row and cannot combine it with 1 more"):
        check(settings_of(compose(words)))
    check(settings_of(compose([*words[:-2], "mixer=tree", "ngram=neighbours"])))
