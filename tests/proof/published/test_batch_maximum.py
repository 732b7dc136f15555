import pytest
import torch

from pgolf.proof.cheats.altered import altered
from pgolf.proof.published.batch_maximum import LETTER, BatchMaximum
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged


class Constant(BatchMaximum):
    """The valid form: divided by what no token changes, the entropy of a uniform row."""

    def largest(self, entropy_BK):
        return torch.tensor(self.vocab_size).log()


def form(alteration):
    return altered(network_evaluation(), alteration=alteration, modifier="plain")


def test_it_claims_less_than_the_network_and_is_refused_by_the_audit_alone():
    claimed, failed, (message, _) = judged(form(BatchMaximum))
    assert claimed < judged(network_evaluation())[0]
    assert failed == [LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message


def test_with_a_constant_in_the_maximums_place_it_passes():
    claimed, failed, messages = judged(form(Constant))
    assert not failed, messages
    assert claimed < judged(network_evaluation())[0]


@pytest.mark.parametrize("places", [20, 40])
def test_a_few_places_are_enough(places):
    assert judged(form(BatchMaximum), places)[1] == ["b", "f"]
