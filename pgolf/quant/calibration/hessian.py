"""Second moments of the inputs of every linear map of a model, collected while it runs, whatever it is made of.

Shapes: B batch, T time, N tokens, D model, R rows (outputs), C columns (inputs).

``H = Σ x xᵀ`` over all tokens, batches and applications of ``y = W x``. Linear maps are recognised where they
happen, as products with a parameter's memory, so that no model code has to know: a layer that is visited several
times and a table that also scores words sum over everything they are applied to, untied copies have their own.
Source: spec quant §3.1 (the published runs hook modules, and keep one rank's sums).

Precision: each product is one float32 matrix product over the tokens of a batch, with a relative error of about
1e-7·√N at most, five orders below GPTQ's damping of 1e-2. The sums are float64, so that they do not drift
with the number of batches; the result is rounded to float32 once.
Cost: 2·N·C² operations per distinct input, about as many again as the forward pass; 8·C² bytes per parameter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from pgolf.core.protocols import Model
from pgolf.quant.calibration.base import Calibration

PRODUCTS: frozenset[Callable[..., Any]] = frozenset(
    {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm}
)
# Products whose operands would have to be understood first; no model has them with a parameter.
NOT_UNDERSTOOD: frozenset[Callable[..., Any]] = frozenset(
    {torch.einsum, torch.tensordot, torch.bmm, Tensor.bmm, torch.addmm, Tensor.addmm, F.bilinear}
)


class HessianSums(TorchFunctionMode):
    """``take`` every batch, then ask for the ``result``. The model must be in eval mode."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        assert not model.training, "calibrate in eval mode: scores are made there"
        self.model, self.tokens = model, 0
        self.began = time.perf_counter()
        parameters = [(name, p) for name, p in model.named_parameters() if p.numel()]
        self._owners = {p.untyped_storage().data_ptr(): (name, p) for name, p in parameters}
        assert len(self._owners) == len(parameters), "two parameters share their memory without being one"
        self._sums: dict[str, Tensor] = {}
        self._lookups: set[str] = set()
        # of inputs that are still alive: (version, product), so that queries, keys and values share one product
        self._products = WeakTensorKeyDictionary()

    @torch.no_grad()
    def take(self, ids_BT: Tensor) -> None:
        """Run the model on ``ids_BT`` (int64) and add what its linear maps read.

        The words are scored by one more product with the hidden states; their inputs are all that is needed, so
        the logits [B, T, V], most of the memory of a pass, are never made.
        """
        with torch.autocast(ids_BT.device.type, enabled=False), self:
            x_BTD = self.model.hidden(ids_BT)
        self._apply(x_BTD, self.model.output_table)
        self._products.clear()
        self.tokens += ids_BT.numel()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            self._apply(*_named(("input", "weight"), args, kwargs))
        elif func in PRODUCTS:
            left, right = _named(("input", "other"), args, kwargs)
            if self._owner(right) is not None:
                self._apply(left, right.mT)
            elif self._owner(left) is not None:
                self._apply(right.mT, left)
        elif func is F.embedding:
            _, table = _named(("input", "weight"), args, kwargs)
            if (owner := self._owner(table)) is not None:
                self._lookups.add(owner[0])
        elif func in NOT_UNDERSTOOD:
            used = [owner[0] for value in args if (owner := self._owner(value)) is not None]
            assert not used, f"calibration cannot tell what {used} multiplies in {func.__name__}"
        return func(*args, **kwargs)

    def _owner(self, value: Any) -> tuple[str, Tensor] | None:
        """Name and parameter in whose memory the matrix ``value`` lies; None for anything else."""
        if not isinstance(value, Tensor) or value.ndim < 2:
            return None
        return self._owners.get(value.untyped_storage().data_ptr())

    def _apply(self, x: Tensor, weight_RC: Tensor) -> None:
        """Add ``Σ x xᵀ`` to the sum of the parameter that ``weight_RC`` is, where it is one."""
        owner = self._owner(weight_RC)
        if owner is None:
            return
        name, parameter = owner
        whole = weight_RC.shape == parameter.shape and weight_RC.stride() == parameter.stride()
        assert whole, f"calibration knows {name} as a matrix [R, C] that is applied whole, as x Wᵀ"
        product_CC = self._product(x)
        if name in self._sums:
            self._sums[name] += product_CC
        else:
            self._sums[name] = product_CC.double()

    def _product(self, x: Tensor) -> Tensor:
        known = self._products.get(x)
        if known is None or known[0] != x._version:
            x_NC = x.detach().reshape(-1, x.size(-1)).float()
            known = self._products[x] = (x._version, x_NC.mT @ x_NC)
        return known[1]

    def result(self, source: str) -> Calibration:
        """Everything taken so far; ``source`` is only written down."""
        hessians = share_equal({name: total.float() for name, total in sorted(self._sums.items())})
        seconds = time.perf_counter() - self.began
        return Calibration(hessians, self.tokens, seconds, source, frozenset(self._lookups))


def _named(names: tuple[str, str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The first two arguments of a call, whether passed by place or by name."""
    first, second = (args[place] if place < len(args) else kwargs.get(name) for place, name in enumerate(names))
    return first, second


def share_equal(hessians: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same mapping with equal matrices as one tensor: maps that read the same inputs are factored once."""
    known: dict[tuple[int, float], list[Tensor]] = {}
    shared = {}
    for name, hessian_CC in hessians.items():
        alike = known.setdefault((len(hessian_CC), float(hessian_CC.trace())), [])
        same = next((other for other in alike if torch.equal(other, hessian_CC)), None)
        if same is None:
            alike.append(hessian_CC)
        shared[name] = hessian_CC if same is None else same
    return shared
