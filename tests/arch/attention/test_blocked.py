"""The blocked kernel equals the formula in every shape, forward and backward, for causal and for document masks."""

import pytest
import torch

from pgolf.arch.attention.blocked import Blocked, biases, blocked, pays
from pgolf.arch.attention.documents import document_index
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.block import ForwardContext
from pgolf.arch.dims import Dims
from tests.arch.attention.reference import document_ids, gradients, inputs, relative, written_out
from tests.arch.option_claims import assert_option_is_sound
from tests.helpers import BOS, ids, randomise, tiny_model

SHAPES = [(2, 1, 72), (4, 2, 16), (3, 3, 8), (8, 2, 64)]
TIMES = [1, 2, 127, 128, 129, 300]


def run(q, k, v, block=128, tokens=None):
    documents = None if tokens is None else document_index(tokens, BOS)
    return blocked(q, k, v, tuple(biases(q, k.size(2), block, documents)))


def same_document(tokens):
    documents = document_index(tokens, BOS)
    return documents[:, :, None] == documents[:, None, :]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("heads", SHAPES, ids=str)
@pytest.mark.parametrize("with_documents", [False, True], ids=["causal", "documents"])
def test_output_and_gradients_equal_the_formula(heads, time, with_documents):
    given = inputs(heads, time=time)
    tokens = document_ids(2, time) if with_documents else None
    y, wanted = (
        run(*given, tokens=tokens),
        written_out(*given, see_BTT=same_document(tokens) if with_documents else None),
    )
    assert y.shape == given[0].shape
    assert relative(y, wanted) < 1e-5
    for found, right in zip(gradients(y, given), gradients(wanted, given), strict=True):
        assert (found - right).abs().max() < 1e-5 * right.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("block", [1, 7, 64, 128, 1000])
def test_the_block_size_does_not_change_what_is_computed(block):
    given = inputs((4, 2, 16), time=70)
    assert relative(run(*given, block=block), written_out(*given)) < 1e-5


@pytest.mark.parametrize("with_documents", [False, True], ids=["causal", "documents"])
def test_in_bf16_it_is_as_near_to_the_formula_as_rounded_scores_allow(with_documents):
    given = inputs((2, 1, 72), time=300, dtype=torch.bfloat16)
    tokens = document_ids(2, 300) if with_documents else None
    wanted = written_out(*given, see_BTT=same_document(tokens) if with_documents else None)
    y = run(*given, tokens=tokens)
    assert y.dtype == torch.bfloat16
    assert relative(y, wanted) < 2**-7
    for found, right in zip(gradients(y, given), gradients(wanted, given), strict=True):
        assert relative(found, right) < 2**-6


def test_autocast_decides_the_dtype_as_for_the_fused_kernel():
    q, k, v = inputs((2, 1, 72), time=150)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = run(q, k, v), fused(q, k, v)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert relative(ours, theirs) < 2**-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_later_positions_change_earlier_outputs_by_not_one_bit(dtype):
    given = inputs((4, 2, 16), time=300, dtype=dtype)
    changed = [x.detach().clone() for x in given]
    for x in changed:
        x[:, 200:] = 3.0
    before, after = run(*given), run(*changed)
    assert torch.equal(before[:, :200], after[:, :200])
    assert not torch.equal(before[:, 200:], after[:, 200:])


def test_no_gradient_reaches_a_later_position():
    q, k, v = inputs((4, 2, 16), time=300)
    y = run(q, k, v)
    grads = torch.autograd.grad(y[:, 150].square().sum(), (q, k, v))
    assert all((grad[:, 151:] == 0).all() and grad[:, :151].any() for grad in grads)


def test_a_window_gets_the_same_bits_alone_and_among_others():
    given = [x.detach() for x in inputs((2, 1, 72), batch=8, time=300)]
    together = run(*given)
    for row in (0, 3, 7):
        assert torch.equal(run(*(x[row : row + 1] for x in given))[0], together[row])


def test_no_tensor_holds_every_pair_of_positions():
    time, sizes = 512, []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **kwargs or {})
            sizes.append(found.numel() if isinstance(found, torch.Tensor) else 0)
            return found

    given = inputs((2, 1, 8), time=time)
    with Sizes():
        gradients(run(*given), given)
    assert max(sizes) == 2 * 2 * 128 * time


def test_the_biases_are_made_once_for_all_layers():
    kernel = Blocked(dims=Dims(97, BOS, 1, 32, 4, 2, 32), block=8)
    q, k, v = inputs((4, 2, 8), time=20)
    context = ForwardContext(ids(2, 20), torch.empty(0))
    kernel.mix(q, k, v, context)
    (first,) = context.shared.values()
    kernel.mix(q, k, v, context)
    assert context.shared["attention.biases"] is first
    assert [tuple(bias.shape) for bias in first] == [(16, 8), (16, 16), (8, 20)]


def test_a_compiled_kernel_equals_the_eager_one():
    torch._dynamo.reset()
    given = inputs((4, 2, 16), time=200)
    compiled = torch.compile(run, fullgraph=True, dynamic=False, backend="aot_eager")
    y, eager = compiled(*given), run(*given)
    torch.testing.assert_close(y, eager)
    torch.testing.assert_close(gradients(y, given), gradients(eager, given))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inductor_compiles_it_to_the_same_within_rounding(dtype):
    torch._dynamo.reset()
    given = inputs((2, 1, 72), time=200, dtype=dtype)
    y = torch.compile(run, fullgraph=True, dynamic=False)(*given)
    bound = 1e-5 if dtype == torch.float32 else 2**-6
    assert relative(y, written_out(*given)) < bound
    for found, right in zip(gradients(y, given), gradients(written_out(*given), given), strict=True):
        assert relative(found, right) < bound


def test_the_model_equals_that_of_the_fused_kernel():
    models = [tiny_model(f"arch/attention={word}", "arch.heads=4", "arch.kv_heads=2") for word in ("blocked", "sdpa")]
    for model in models:
        randomise(model)
    ours, theirs = models
    for time in (24, 7, 1):
        tokens = ids(3, max(time, 4))[:, :time]
        torch.testing.assert_close(ours.logits(tokens), theirs.logits(tokens), rtol=1e-5, atol=1e-5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.parametrize("block", [8, 128])
def test_it_is_causal_grouped_compiled_and_finite(block):
    assert_option_is_sound("arch/attention=blocked", f"arch.attention.block={block}")


def test_it_pays_where_it_was_measured_to():
    q = inputs((2, 1, 8), time=16, dtype=torch.bfloat16)[0]
    assert pays(q, longest=16) and not pays(q, longest=15)
    assert not pays(q.float(), longest=16) and not pays(q.detach(), longest=16)
    assert not pays(q.to("meta"), longest=16)
    with torch.no_grad():
        assert not pays(q, longest=16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pays(q.float(), longest=16)
