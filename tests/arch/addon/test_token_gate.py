import pytest
import torch

from tests.arch.addon.checks import added_parameters, assert_sound, context_of
from tests.helpers import ids, randomise, tiny_model

DTG = "arch/addon=[token_gate]"
MIXED = "arch.addons.token_gate.around=mixed"


@pytest.mark.parametrize("words", [(DTG,), (DTG, MIXED)], ids=["stream", "mixed"])
def test_token_gate_is_causal_compiles_and_trains(words):
    assert_sound(*words)


def test_token_gate_adds_a_vector_and_a_bias_for_each_visit():
    assert added_parameters(DTG) == 9 * 513


@pytest.mark.parametrize("mixed", [False, True])
def test_each_token_takes_its_share_of_the_block(mixed):
    plain, gated = tiny_model(), tiny_model(DTG, *([MIXED] if mixed else []))
    randomise(plain)
    torch.nn.init.normal_(plain.controls["2_0"].residual_mix)
    gated.load_state_dict(plain.state_dict(), strict=False)
    visit = plain.routes["plain"].visits[2]
    gate = gated.addons.block_sites[visit.key]["block_out"][0]
    x, context = torch.randn(2, 24, 32), context_of(visit)
    (block_x,) = plain.lanes.run(plain.block(visit), (x,), context)
    base = plain.block(visit).read(x, context) if mixed else x
    for weight in (torch.zeros(32), torch.randn(32)):
        with torch.no_grad():
            gate.weight.copy_(weight)
        share = torch.sigmoid(base @ weight + 2.0)[..., None]
        (found,) = gated.lanes.run(gated.block(visit), (x,), context)
        torch.testing.assert_close(found, base + share * (block_x - base))


def test_the_gate_sends_no_gradient_into_what_it_reads():
    model = tiny_model(DTG)
    gate = model.addons.block_sites["2_0"]["block_out"][0]
    torch.nn.init.normal_(gate.weight)
    x = torch.randn(1, 3, 32, requires_grad=True)
    y = torch.randn(1, 3, 32)
    gate(y, x, context_of()).sum().backward()
    share = torch.sigmoid(x.detach() @ gate.weight + 2.0)[..., None]
    torch.testing.assert_close(x.grad, (1 - share).expand_as(x))


def test_an_open_gate_is_the_plain_block():
    plain, gated = tiny_model(), tiny_model(DTG)
    randomise(plain)
    gated.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        for name, parameter in gated.named_parameters():
            if name.startswith("addons.") and name.endswith("bias"):
                parameter.fill_(1e4)
    torch.testing.assert_close(gated.logits(ids()), plain.logits(ids()))
