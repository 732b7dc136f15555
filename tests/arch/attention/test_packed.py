"""Rows of segments train as the segments do alone, whatever the kernel, and are scored as documents are."""

import copy
import itertools

import pytest
import torch

from pgolf.arch.attention.blocked import biases
from pgolf.arch.attention.packed import segment_starts
from pgolf.core.errors import ConfigError
from pgolf.run.rules import check
from tests.arch.causality import assert_causal
from tests.arch.option_claims import assert_option_is_sound, gradients_after_one_step
from tests.helpers import BOS, ids, randomise, tiny_model, tiny_settings

WORDS = ("arch/attention=packed", "arch.attention.longest=10", "arch.attention.block=4")


def cumulative_lengths(tokens, longest):
    """As the published list has them: of the documents' starts, each document cut, and the row's end."""
    starts = sorted({0} | {place for place, token in enumerate(tokens) if token == BOS})
    found = []
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        found += range(start, end, longest)
    return [*found, len(tokens)]


def row(time=47, starts=(3, 16, 17, 31)):
    tokens = ids(1, time).masked_fill(ids(1, time) == BOS, 5)
    tokens[0, list(starts)] = BOS
    return tokens


@pytest.mark.parametrize("starts", [(), (0,), (0, 1, 2, 3), (46,), (3, 16, 17, 31), (10, 20, 30)], ids=str)
@pytest.mark.parametrize("longest", [1, 7, 10, 47, 1000])
def test_segments_are_the_published_cumulative_lengths(starts, longest):
    tokens = row(starts=starts)
    listed = cumulative_lengths(tokens[0].tolist(), longest)
    expected = [begin for begin, end in itertools.pairwise(listed) for _ in range(begin, end)]
    assert segment_starts(tokens, BOS, longest)[0].tolist() == expected


def test_a_row_trains_as_its_segments_do_alone_with_the_same_gradients():
    together = tiny_model(*WORDS)
    randomise(together)
    alone, tokens = copy.deepcopy(together), row()
    targets = tokens.roll(-1, 1)
    loss = together.loss(tokens, targets)
    loss.backward()
    listed = cumulative_lengths(tokens[0].tolist(), 10)
    assert len(listed) > 7
    parts = [alone.loss(tokens[:, a:b], targets[:, a:b]) * (b - a) / 47 for a, b in itertools.pairwise(listed)]
    sum(parts).backward()
    torch.testing.assert_close(loss, sum(parts))
    for a, b in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_an_evaluation_is_that_of_documents_whatever_the_longest_segment():
    model, plain = tiny_model(*WORDS), tiny_model("arch/attention=documents")
    for each in (model, plain):
        randomise(each)
        each.eval()
    with torch.no_grad():
        assert torch.equal(model.logits(row()), plain.logits(row()))
        assert torch.equal(model.loss(row(), row()), plain.loss(row(), row()))


def test_no_block_of_queries_takes_more_keys_than_the_longest_segment_before_it():
    q_BTHK = torch.zeros(1, 1000, 2, 8)
    found = list(biases(q_BTHK, 1, 64, segment_starts(row(1000), BOS, 100), 100))
    assert max(bias.size(-1) for bias in found) == 64 + 99
    assert all(bool((bias > -1).any(-1).all()) for bias in found), "every query sees a key"


def test_it_is_causal_with_finite_gradients_everywhere():
    assert_causal(tiny_model(*WORDS))
    assert all(grad.isfinite().all() for grad in gradients_after_one_step(tiny_model(*WORDS)).values())


@pytest.mark.slow
def test_it_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)


@pytest.mark.gpu
def test_on_cuda_the_flex_kernel_trains_the_same():
    words = ("arch/attention=packed", "arch.width=128")
    grads = []
    for kernel in ("blocked", "flex", "auto"):
        model = tiny_model(*words, f"arch.attention.kernel={kernel}")
        randomise(model)
        model.cuda().loss(row(300).cuda(), row(300).roll(-1, 1).cuda()).backward()
        grads.append([p.grad for p in model.parameters()])
    for blocked, *others in zip(*grads, strict=True):
        for other in others:
            torch.testing.assert_close(other, blocked, rtol=1e-2, atol=1e-3)


def test_rows_of_documents_ask_for_it():
    check(tiny_settings("loader=documents", "arch/attention=packed"))
    with pytest.raises(
        ConfigError, match=r"loader: it hands the model rows .* and auto would mix .* arch/attention=pac"
    ):
        check(tiny_settings("loader=documents"))
    with pytest.raises(ConfigError, match=r"arch\.attention\.rope_ntk: the base would grow with the rows"):
        check(tiny_settings("loader=documents", "arch/attention=packed", "arch.attention.rope_ntk=true"))
    with pytest.raises(ConfigError, match="curriculum: it cuts batches of windows, and loader=documents makes rows"):
        check(tiny_settings("loader=documents", "arch/attention=packed", "curriculum=growing"))
    wide = ("loader=documents", "arch/attention=packed", "train.batch_tokens=32768")
    check(tiny_settings(*wide, "train.accumulation=2", "quant=int6_gptq"))
    check(tiny_settings(*wide, "quant=int6_rtn"))
    with pytest.raises(ConfigError, match=r"quant: it calibrates on the loader's rows, of 32,768 tokens"):
        check(tiny_settings(*wide, "quant=int6_gptq"))
