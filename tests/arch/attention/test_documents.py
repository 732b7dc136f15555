"""Documents packed into one window score as they do alone."""

import pytest
import torch

from pgolf.arch.attention import documents
from pgolf.arch.attention.documents import document_index, document_mask
from tests.arch.option_claims import assert_option_is_sound
from tests.helpers import BOS, ids, randomise, tiny_model

WORDS = ("arch/attention=documents",)


def packed(*words):
    """A model and three documents, each opening with BOS, in one window of 24 tokens."""
    model = tiny_model(*WORDS, *words)
    randomise(model)
    tokens = ids(1)
    tokens[0, [0, 9, 16]] = BOS
    return model, tokens


def test_packed_documents_equal_separate_ones():
    model, tokens = packed()
    with torch.no_grad():
        together = model.logits(tokens)
        alone = [model.logits(document) for document in tokens.split([9, 7, 8], dim=1)]
    torch.testing.assert_close(together, torch.cat(alone, 1))


def test_packed_documents_equal_separate_ones_with_front_end_masks():
    addons = ("arch/addon=[bigram_hash,smear_gate]",)
    model, tokens = packed(*addons)
    with torch.no_grad():
        for name, parameter in model.addons.named_parameters():
            parameter.normal_(0.0, 0.5)
            assert name
        together = model.logits(tokens)
        alone = [model.logits(document) for document in tokens.split([9, 7, 8], dim=1)]
    torch.testing.assert_close(together, torch.cat(alone, 1))


def test_without_document_attention_packing_matters():
    model = tiny_model()
    randomise(model)
    _, tokens = packed()
    with torch.no_grad():
        assert not torch.allclose(model.logits(tokens)[:, 16:], model.logits(tokens[:, 16:]))


def test_editing_a_document_leaves_the_next_unchanged():
    model, tokens = packed()
    edited = tokens.clone()
    edited[0, 10:16] = 5
    with torch.no_grad():
        a, b = model.logits(tokens), model.logits(edited)
    assert torch.equal(a[:, 16:], b[:, 16:]) and torch.equal(a[:, :10], b[:, :10])
    assert not torch.equal(a[:, 10:16], b[:, 10:16])


def test_a_window_without_bos_is_one_segment():
    model, plain = tiny_model(*WORDS), tiny_model()
    for each in (model, plain):
        randomise(each)
    with_bos = ids()
    tokens = with_bos.masked_fill(with_bos == BOS, 5)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(tokens), plain.logits(tokens))
        assert not torch.allclose(model.logits(with_bos), plain.logits(with_bos))


def test_the_mask_is_block_diagonal_and_causal():
    tokens = torch.tensor([[7, 8, BOS, 9, BOS]])
    index = document_index(tokens, BOS)
    assert index.tolist() == [[0, 0, 1, 1, 2]]
    expected = torch.tensor(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    ).bool()
    assert torch.equal(document_mask(index)[0, 0], expected)


def test_grouped_heads_and_rows_with_different_documents_agree_with_separate_passes():
    model = tiny_model(*WORDS, "arch.heads=4", "arch.kv_heads=2")
    randomise(model)
    tokens = ids(2)
    tokens[0, [0, 5]] = BOS
    tokens[1, 11] = BOS
    with torch.no_grad():
        together = model.logits(tokens)
        torch.testing.assert_close(together[0, 5:], model.logits(tokens[:1, 5:])[0])
        torch.testing.assert_close(together[1, 11:], model.logits(tokens[1:, 11:])[0])


def test_it_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)


@pytest.mark.parametrize("block", [4, 128])
def test_the_blocked_kernel_computes_the_same_with_the_same_gradients(block):
    words = ("arch.heads=4", "arch.kv_heads=2")
    masked, tokens = packed(*words, "arch.attention.kernel=mask")
    blocked, _ = packed(*words, "arch.attention.kernel=blocked", f"arch.attention.block={block}")
    grads = []
    for model in (masked, blocked):
        model.loss(tokens, tokens.roll(-1, 1)).backward()
        grads.append([p.grad for p in model.parameters()])
    with torch.no_grad():
        torch.testing.assert_close(blocked.logits(tokens), masked.logits(tokens))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_by_default_a_cpu_trains_blocked_in_bf16_and_scores_with_the_mask(monkeypatch):
    model, tokens = packed("arch.layers=1")
    ran = []
    for name in ("fused", "blocked"):
        function = getattr(documents, name)
        monkeypatch.setattr(documents, name, lambda *a, n=name, f=function: ran.append(n) or f(*a))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.loss(tokens, tokens.roll(-1, 1))
    with torch.no_grad():
        model.logits(tokens)
    assert ran == ["blocked", "fused"]


@pytest.mark.parametrize("kernel", ["mask", "blocked"])
def test_each_kernel_is_causal_grouped_compiled_and_finite(kernel):
    assert_option_is_sound(*WORDS, f"arch.attention.kernel={kernel}")


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_the_flex_kernel_computes_the_same():
    model, tokens = packed()
    flex, _ = packed("arch.attention.kernel=flex")
    with torch.no_grad():
        torch.testing.assert_close(flex.logits(tokens), model.logits(tokens))


@pytest.mark.gpu
def test_on_cuda_the_flex_kernel_has_the_same_gradients():
    model, tokens = packed("arch.width=128")
    flex, _ = packed("arch.width=128", "arch.attention.kernel=flex")
    grads = []
    for each in (model.cuda(), flex.cuda()):
        each.loss(tokens.cuda(), tokens.roll(-1, 1).cuda()).backward()
        grads.append([p.grad for p in each.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)
