"""``pgolf bench gptq``: the time that GPTQ takes for all matrices of a model, beside a plain loop over columns.

Weights and Hessians are random: matrices as an initialiser makes them, inputs with a falling spectrum, which is
what GPTQ's arithmetic depends on. The plain loop is the textbook one, a column at a time and a scale at a time
with the whole rest of the matrix updated after each; it runs on one layer, since all would take minutes.

Shapes: R rows (outputs), C columns (inputs), K candidate scales.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, on_threads, peak, shares, taken, threads_word
from pgolf.core.command import at_least, guarded

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pgolf.core.results import ParamSpec
    from pgolf.quant.calibration.base import Calibration
    from pgolf.quant.gptq import GPTQ

_TOKENS_PER_COLUMN = 4


def add_parser(subparsers: Any) -> None:
    """Add ``gptq``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "gptq",
        help="time GPTQ on all matrices of a model, Hessians given",
        description="Quantizes random matrices of a model's shapes and compares with a plain loop over columns.",
    )
    parser.add_argument("--quant", default="gptq", help="option of the group quant (default: %(default)s)")
    parser.add_argument("--layers", type=at_least(1), default=11, help="(default: %(default)s)")
    parser.add_argument("--width", type=at_least(1), default=512, help="(default: %(default)s)")
    parser.add_argument("--hidden", type=at_least(1), default=1536, help="(default: %(default)s)")
    parser.add_argument("--kv-width", type=at_least(1), default=256, help="(default: %(default)s)")
    parser.add_argument("--threads", type=at_least(1), default=2, help="of the processor (default: %(default)s)")
    parser.set_defaults(run=guarded("bench gptq", _run))


def _run(arguments: argparse.Namespace) -> None:
    """Print the timings. Raises ConfigError for an option that is no GPTQ."""
    import torch

    from pgolf.config.compose import node
    from pgolf.core.errors import ConfigError
    from pgolf.core.make import make
    from pgolf.quant.gptq import GPTQ

    quantizer = make(node("quant", arguments.quant))
    if not isinstance(quantizer, GPTQ):
        raise ConfigError(f"--quant: {arguments.quant} is a {type(quantizer).__name__}, not a GPTQ")
    torch.set_num_threads(arguments.threads)
    sizes = arguments.width, arguments.hidden, arguments.kv_width
    state, specs, calibration = _model(arguments.layers, *sizes)
    weights = sum(w.numel() for w in state.values())
    seconds = _timed(lambda: quantizer.quantize(state, specs, None, calibration))
    print(
        f"{arguments.quant}: {len(state)} matrices, {weights:,} weights, {arguments.threads} threads: "
        f"{seconds:.1f} s, {weights / seconds / 1e6:.2f} M weights/s"
    )
    state, specs, calibration = _last_layer(state, specs, calibration)
    ours = min(_timed(lambda: quantizer.quantize(state, specs, None, calibration)) for _ in range(3))
    plain = _timed(lambda: plain_codes(quantizer, state, specs, calibration))
    print(f"one layer: {ours:.2f} s; plain column loop {plain:.2f} s, {plain / ours:.1f} times as long")


def session(setting: Setting) -> GptqSession:
    return GptqSession(setting)


class GptqSession:
    """Its part in the table of ``pgolf bench``: two layers, beside the products of their columns at the peak's rate.

    A column's error is passed on to all that come after it: R · C² operations for a matrix and a candidate scale, C³
    for the two factorisations and the inverse of its Hessian, which q, k and v have each.
    """

    def __init__(self, setting: Setting) -> None:
        from pgolf.config.compose import node
        from pgolf.core.make import make

        self.quantizer, self.threads = make(node("quant", "gptq")), setting.threads
        layers, *sizes = (2, 32, 48, 16) if setting.tiny else (2, 256, 768, 128)
        self.model = _model(layers, *sizes)
        state, specs, calibration = self.model
        from pgolf.quant.tensor_info import tensor_infos

        self.weights, self.operations = sum(w.numel() for w in state.values()), 0.0
        for info in tensor_infos(specs, {name: w.shape for name, w in state.items()}):
            w_RC, hessian_CC = state[info.name], calibration.hessians[info.name]
            scales = self.quantizer.pipeline.scales(w_RC, self.quantizer.pipeline.roles.bits, info, hessian_CC)
            rows, columns = w_RC.shape
            self.operations += len(scales) * rows * columns**2 + columns**3
        self.size = {"quant": "gptq", "layers": layers, "width, hidden, kv_width": sizes}

    def round(self) -> Sequence[Reading]:
        state, specs, calibration = self.model
        found = []
        for number in self.threads:
            with on_threads(number) as now:
                seconds = taken(lambda: self.quantizer.quantize(state, specs, None, calibration), now)
                factors = taken(lambda: [_factor(h_CC) for h_CC in calibration.hessians.values()], now)
                floor = self.weights * peak("fp32 products", now) / self.operations
                where = shares({"Hessians": factors, "columns and scales": max(seconds - factors, 0.0)})
                rate = self.weights / seconds
                found.append(
                    Reading(threads_word(number), rate, "weights/s", floor=floor, of="fp32 products", where=where)
                )
        return found

    def close(self) -> None: ...


def _factor(hessian_CC: Tensor) -> Tensor:
    import torch

    lower_CC = torch.linalg.cholesky(hessian_CC.double() + 1e-2 * torch.eye(len(hessian_CC), dtype=torch.float64))
    return torch.linalg.cholesky(torch.cholesky_inverse(lower_CC))


def _timed(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _last_layer(
    state: dict[str, Tensor], specs: dict[str, ParamSpec], calibration: Calibration
) -> tuple[dict[str, Tensor], dict[str, ParamSpec], Calibration]:
    """The last, from whose number a policy still learns how many layers there are."""
    last = max(spec.layer for spec in specs.values() if spec.layer is not None)
    names = [name for name, spec in specs.items() if spec.layer == last and name in calibration.hessians]
    own = replace(calibration, hessians={name: calibration.hessians[name] for name in names})
    return {name: state[name] for name in names}, {name: specs[name] for name in names}, own


def _model(
    layers: int, width: int, hidden: int, kv_width: int
) -> tuple[dict[str, Tensor], dict[str, ParamSpec], Calibration]:
    """Matrices of attention and MLP by their names in a model, with Hessians of correlated inputs."""
    import torch

    from pgolf.core.results import ParamSpec
    from pgolf.quant.calibration.base import Calibration

    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    specs: dict[str, ParamSpec] = {}
    hessians: dict[str, Tensor] = {}
    for layer in range(layers):
        read = {
            ("mixer.q", "mixer.k", "mixer.v"): (width, (width, kv_width, kv_width)),
            ("mixer.out",): (width, (width,)),
            ("mlp.up",): (width, (hidden,)),
            ("mlp.down",): (hidden, (width,)),
        }
        for parts, (columns, rows) in read.items():
            hessian_CC = _correlated(columns, generator)
            for part, outputs in zip(parts, rows, strict=True):
                name = f"layers.{layer}.{part}.weight"
                component = "mlp" if part.startswith("mlp") else "attention"
                state[name] = torch.randn(outputs, columns, generator=generator) * columns**-0.5
                specs[name] = ParamSpec("matrix", "matrix", component, part.rpartition(".")[2], layer)
                hessians[name] = hessian_CC
    return state, specs, Calibration(hessians, _TOKENS_PER_COLUMN * max(width, hidden), 0.0, "random")


def _correlated(columns: int, generator: torch.Generator) -> Tensor:
    """Σ x xᵀ of inputs whose spectrum falls like 1/rank, in a random basis."""
    import torch

    tokens = _TOKENS_PER_COLUMN * columns
    spread_C = torch.arange(1, columns + 1, dtype=torch.float32) ** -0.5
    x_TC = torch.randn(tokens, columns, generator=generator) * spread_C
    basis_CC = torch.randn(columns, columns, generator=generator) * columns**-0.5
    x_TC = x_TC @ basis_CC
    return x_TC.T @ x_TC


def plain_codes(
    quantizer: GPTQ, state: dict[str, Tensor], specs: dict[str, ParamSpec], calibration: Calibration
) -> dict[str, list[Tensor]]:
    """Codes int8 [R, C] of every matrix for each candidate scale, in the textbook form.

    No blocks, one scale after the other, two factorisations and an inverse, in float32.
    """
    import torch

    from pgolf.quant.grid import qmax
    from pgolf.quant.tensor_info import tensor_infos

    bits = quantizer.pipeline.roles.bits
    found: dict[str, list[Tensor]] = {}
    for info in tensor_infos(specs, {name: w.shape for name, w in state.items()}):
        w_RC, hessian_CC = state[info.name], calibration.hessians[info.name]
        order_C = torch.argsort(hessian_CC.diagonal(), descending=True)
        h_CC = hessian_CC.double()[order_C][:, order_C]
        h_CC.diagonal().add_(quantizer.damping * h_CC.diagonal().mean())
        inverse_CC = torch.cholesky_inverse(torch.linalg.cholesky(h_CC))
        upper_CC = torch.linalg.cholesky(inverse_CC).mT.float()
        found[info.name] = []
        for scale_R in quantizer.pipeline.scales(w_RC, bits, info, hessian_CC):
            left_RC, scale_R = w_RC[:, order_C].clone(), scale_R.float()
            q_RC = torch.empty_like(w_RC, dtype=torch.int8)
            for j in range(left_RC.shape[1]):
                q_R = (left_RC[:, j] / scale_R).round().clamp(-qmax(bits), qmax(bits))
                q_RC[:, order_C[j]] = q_R.to(torch.int8)
                error_R = (left_RC[:, j] - q_R * scale_R) / upper_CC[j, j]
                left_RC[:, j:] -= error_R[:, None] * upper_CC[j, j:]
            found[info.name].append(q_RC)
    return found
