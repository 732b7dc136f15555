"""Keys and values of the past: what is kept is never changed, and looking back is attention written out."""

import pytest
import torch

from pgolf.arch.attention.documents import Documents
from pgolf.arch.attention.layer import Rotary
from pgolf.arch.attention.sdpa import SDPA
from pgolf.arch.dims import Dims
from pgolf.arch.step.attention import AttentionStep, History, look_back
from pgolf.arch.step.memory import Past
from tests.arch.attention.reference import document_ids, inputs, relative, written_out
from tests.helpers import BOS, VOCAB

DIMS = Dims(VOCAB, BOS, layers=2, width=32, heads=4, kv_heads=2, mlp_hidden=64)


@pytest.mark.parametrize("piece", [1, 3, 70])
def test_a_history_is_what_was_appended(piece):
    x_BTK = torch.randn(2, 210, 3)
    history = History()
    for part in x_BTK.split(piece, 1):
        history = history.append(part)
    assert torch.equal(history.all, x_BTK)


def test_a_history_that_two_go_on_from_is_that_of_both():
    first, one, other = torch.randn(3, 1, 5, 2)
    history = History().append(first)
    a, b = history.append(one), history.append(other)
    c = a.append(other)
    assert torch.equal(history.all, first)
    assert torch.equal(a.all, torch.cat([first, one], 1)) and torch.equal(b.all, torch.cat([first, other], 1))
    assert torch.equal(c.all, torch.cat([first, one, other], 1))


@pytest.mark.parametrize("kind", ["sdpa", "documents"])
@pytest.mark.parametrize("count", [1, 32])
@torch.no_grad()
def test_the_last_positions_look_back_as_all_do(kind, count):
    q, k, v = inputs((4, 2, 8), time=90)
    ids_BT = document_ids(2, 90)
    kernel = SDPA(dims=DIMS) if kind == "sdpa" else Documents(dims=DIMS, kernel="mask", block=32, blocked_up_to=512)
    document_BT = (ids_BT == BOS).cumsum(1)
    see = document_BT[:, :, None] == document_BT[:, None, :] if kind == "documents" else None
    found = look_back(q[:, -count:], k, v, kernel.visible(ids_BT, count))
    assert relative(found, written_out(q, k, v, see)[:, -count:]) < 1e-6


def by_torch(step, memory, q_BNHK, k_BNGK, v_BNGK):
    """The windows' attention with torch's own way back."""
    past, window = step.past, step.past.window
    tables = step.rotary.tables_from(past.start, q_BNHK.size(1), window, q_BNHK.device)
    q_BNHK, k_BNGK = (step.rotary.turn(x_BNXK, *tables) for x_BNXK in (q_BNHK, k_BNGK))
    k_BTGK, v_BTGK = (
        past.extended(kept, new) for kept, new in zip(memory or (None, None), (k_BNGK, v_BNGK), strict=True)
    )
    windows = past.windows(k_BTGK), past.windows(v_BTGK)
    return past.joined(look_back(past.blocks(q_BNHK), *windows, step._mask()))


@pytest.mark.parametrize("kind", ["sdpa", "documents"])
@pytest.mark.parametrize("new", [64, 20])
def test_gradients_in_windows_are_those_of_torch_for_the_new_positions(kind, new):
    kernel = SDPA(dims=DIMS) if kind == "sdpa" else Documents(dims=DIMS, kernel="mask", block=32, blocked_up_to=512)
    past = Past(window=48, block=32)
    step = AttentionStep(past, kernel.mix, Rotary(8, 10_000.0, 48, ntk=False), kernel)
    ids_BT, memory = document_ids(2, 128), None
    for start, stop in ((0, 64), (64, 64 + new)):
        given = [x_BTXK[:, start:stop].clone().requires_grad_(True) for x_BTXK in inputs((4, 2, 8), time=128)]
        past.begin(ids_BT[:, start:stop])
        y_BNHK, after = step.step(memory, *given, None)
        expected_BNHK = by_torch(step, memory, *given)
        assert torch.equal(y_BNHK, expected_BNHK)
        grad_BNHK = torch.randn(y_BNHK.shape, generator=torch.Generator().manual_seed(0))
        pairs = zip(
            torch.autograd.grad(y_BNHK, given, grad_BNHK),
            torch.autograd.grad(expected_BNHK, given, grad_BNHK),
            strict=True,
        )
        assert all(relative(own, torchs) < 1e-5 for own, torchs in pairs)
        with torch.no_grad():
            assert torch.equal(step.step(memory, *given, None)[0], y_BNHK)
        past.commit()
        memory = tuple(kept.detach() for kept in after)
