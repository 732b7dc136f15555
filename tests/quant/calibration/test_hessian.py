"""Second moments of inputs equal a slow count by hooks, for every published model, and nothing is missed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pgolf.arch.base import Linear
from pgolf.quant.calibration.hessian import HessianSums
from tests.helpers import ids, randomise, tiny_model

PRESETS = (
    *("baseline", "parallel_recur", "mamba_hybrid", "pr187", "pr187_recurrent", "pr687"),
    *("pr860", "pr1026", "pr1204", "pr1855"),
)
WORDS = {
    **{arch: (f"arch={arch}",) for arch in PRESETS},
    "untied head": ("arch.tie_embeddings=false",),
    "own MLPs": ("arch=parallel_recur", "arch.recurrence.untie_mlp=full"),
    "own second matrices": ("arch=parallel_recur", "arch.recurrence.untie_mlp=down"),
    "gated": ("arch/mlp=gated", "arch/addon=[gate_linear,canon]"),
    "routed": ("arch/mlp=polyglu_routed",),
}


def ready(*words):
    """A model as evaluation runs it: its last route, no zero weights, eval mode."""
    model = tiny_model(*words)
    randomise(model)
    model.use(list(model.routes)[-1])
    return model.eval().requires_grad_(False)


def batches(count=2):
    return [ids(seed=seed) for seed in range(count)]


def collected(model, taken):
    sums = HessianSums(model)
    for ids_BT in taken:
        sums.take(ids_BT)
    return sums.result("test")


def inputs_of(model, taken):
    """Name of each weight of a ``Linear``, and of the head's, to all inputs it was applied to, float64 [N, C]."""
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}

    def keep(weight, x):
        found.setdefault(names[id(weight)], []).append(x.double().flatten(0, -2))

    linears = [module for module in model.modules() if isinstance(module, Linear)]
    hooks = [m.register_forward_pre_hook(lambda m, args: keep(m.weight, args[0])) for m in linears]
    for ids_BT in taken:
        keep(model.output_table, model.hidden(ids_BT))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_every_matrix_has_the_sum_over_all_its_inputs(words):
    model = ready(*words)
    found, inputs = collected(model, batches()), inputs_of(model, batches())
    stored = {name: spec.storage for name, spec in model.param_specs().items()}
    matrices = {name for name, role in stored.items() if role == "matrix"}
    assert matrices and matrices <= set(found.hessians), matrices - set(found.hessians)
    assert set(inputs) <= set(found.hessians)
    for name, parts in inputs.items():
        slow_CC = sum(x_NC.T @ x_NC for x_NC in parts)
        assert found.hessians[name].dtype == torch.float32
        torch.testing.assert_close(
            found.hessians[name].double(), slow_CC, rtol=1e-5, atol=1e-6 * float(slow_CC.diagonal().max())
        )
    tables = {name for name, role in stored.items() if role == "embedding"}
    assert tables <= set(found.hessians) | found.lookups


def test_tokens_are_counted():
    assert collected(ready(), batches(3)).tokens == 3 * ids().numel()


def test_the_same_batches_give_the_same_bits():
    first, second = (collected(ready("arch=pr1204"), batches()).hessians for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_queries_keys_and_values_share_one_matrix():
    found = collected(ready(), batches()).hessians
    for layer in range(6):
        q, k, v, out = (found[f"layers.{layer}.mixer.{part}.weight"] for part in ("q", "k", "v", "out"))
        assert q is k and k is v and out is not q


def test_one_product_serves_all_maps_of_one_input():
    class Counting(HessianSums):
        made = 0

        def _product(self, x):
            before = len(self._products)
            found = super()._product(x)
            self.made += len(self._products) != before
            return found

    sums = Counting(ready())
    sums.take(ids())
    assert sums.made == 6 * 4 + 1  # per layer: q/k/v, out, up, down; the head once


def test_a_changed_input_is_not_mistaken_for_the_one_before():
    model = Toy(lambda model, x: F.linear(x.mul_(2.0), model.second, None))
    x = torch.randn(5, 3)
    model.x = x.clone()
    found = collected(model, [ids()]).hessians
    torch.testing.assert_close(found["second"], 4 * x.T @ x)


def test_recurrence_sums_both_visits_and_untied_copies_have_their_own():
    model = ready("arch=parallel_recur", "arch.recurrence.untie_mlp=full")
    found, inputs = collected(model, batches(1)).hessians, inputs_of(model, batches(1))
    shared, first, own = "layers.2.mixer.q.weight", "layers.2.mlp.up.weight", "own_mlps.2_1.up.weight"
    assert [len(inputs[name]) for name in (shared, first, own)] == [2, 1, 1]
    visits = [x_NC.T @ x_NC for x_NC in inputs[shared]]
    torch.testing.assert_close(found[shared].double(), visits[0] + visits[1], rtol=1e-5, atol=1e-4)
    assert not torch.allclose(visits[0], visits[1], rtol=1e-2)
    assert not torch.equal(found[first], found[own])


def test_matrices_of_visits_that_are_not_active_have_none():
    model = tiny_model("arch=parallel_recur", "arch.recurrence.untie_mlp=full").eval()
    found = collected(model, batches(1))
    assert "layers.2.mlp.up.weight" in found.hessians
    assert "own_mlps.2_1.up.weight" not in found.hessians


def test_look_ups_are_told_from_linear_maps():
    tied = collected(ready("arch/addon=[bigram_hash]"), batches(1))
    (table,) = (name for name in tied.lookups if name.endswith("table"))
    assert tied.lookups == {"embedding", table}
    assert "embedding" in tied.hessians and table not in tied.hessians
    untied = collected(ready("arch.tie_embeddings=false"), batches(1))
    assert untied.lookups == {"embedding"} and "embedding" not in untied.hessians
    assert "head.weight" in untied.hessians


class Toy(nn.Module):
    """One matrix [2, 3] applied as ``use`` says, and a head; ``hidden`` takes ids like a model of ours."""

    def __init__(self, use):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(2, 3))
        self.use, self.x = use, torch.randn(5, 3)
        self.eval()

    def hidden(self, ids_BT):
        F.linear(self.x, self.first)
        self.use(self, self.x)
        return self.x

    @property
    def output_table(self):
        return self.first


APPLIED = {
    "linear by name": lambda model, x: F.linear(input=x, weight=model.second),
    "matmul": lambda model, x: torch.matmul(x, model.second.T),
    "@": lambda model, x: x @ model.second.mT,
    "mm": lambda model, x: x.mm(model.second.T),
    "from the left": lambda model, x: model.second @ x.T,
}


@pytest.mark.parametrize("use", APPLIED.values(), ids=APPLIED)
def test_every_way_to_write_a_product_counts(use):
    model = Toy(use)
    found = collected(model, [ids()]).hessians
    torch.testing.assert_close(found["second"], model.x.T @ model.x)
    torch.testing.assert_close(found["first"], 2 * model.x.T @ model.x)


NOT_UNDERSTOOD = {
    "einsum": lambda model, x: torch.einsum("nc,rc->nr", x, model.second),
    "a slice": lambda model, x: F.linear(x, model.second[:1]),
    "the transposed matrix": lambda model, x: F.linear(x[:, :2], model.second.T),
}


@pytest.mark.parametrize("use", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_product_that_is_not_understood_is_not_skipped(use):
    with pytest.raises(AssertionError, match="second"):
        collected(Toy(use), [ids()])


def test_a_model_in_training_mode_is_not_measured():
    with pytest.raises(AssertionError, match="eval"):
        HessianSums(tiny_model().train())


def test_the_measured_model_is_left_as_it_was():
    model = ready("arch=pr1855")
    before, logits = {n: p.clone() for n, p in model.state_dict().items()}, model.logits(ids())
    collected(model, batches(1))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(model.logits(ids()), logits)
