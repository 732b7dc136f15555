import pytest
import torch
import torch.nn.functional as F

from pgolf.core.prediction import Batch, Span
from pgolf.proof.cheats.altered import altered
from pgolf.proof.published.slot import LETTER, Slot
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged


class NoStep(Slot):
    steps = 0


def form(alteration):
    return altered(network_evaluation(), alteration=alteration, modifier="plain")


def test_it_claims_less_than_the_network_and_is_refused_by_the_audit_alone():
    claimed, failed, (message, _) = judged(form(Slot))
    assert claimed < judged(form(NoStep))[0] - 0.1
    assert failed == [LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message


def test_without_a_step_it_passes():
    assert judged(form(NoStep), places=20)[1] == []


@pytest.mark.parametrize("keep", [1, 5])
def test_the_bias_is_what_torchs_optimizer_finds(keep):
    generator = torch.Generator().manual_seed(0)
    logits_BKV, input_BT = torch.randn(2, keep, 11, generator=generator), torch.randint(11, (2, 6), generator=generator)
    spans = (Span(0, 0, 6 - keep, 6), Span(1, 0, 6 - keep, 6))
    bias_V = torch.nn.Parameter(torch.zeros(11))
    optimizer = torch.optim.AdamW([bias_V], lr=0.003, eps=1e-5, weight_decay=1e-8)
    for _ in range(5 if keep > 1 else 0):
        optimizer.zero_grad()
        F.cross_entropy((logits_BKV + bias_V)[:, :-1].flatten(0, 1), input_BT[:, -keep + 1 :].flatten()).backward()
        optimizer.step()
    found = Slot(11).rows(logits_BKV.softmax(-1), Batch(spans, input_BT, keep))
    torch.testing.assert_close(found, (logits_BKV + bias_V).softmax(-1).detach())
