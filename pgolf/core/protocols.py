"""The interfaces of pgolf on one page. At most three methods each (style 17), but for the model.

Shapes: B windows in a batch, T positions in a window, D model, V vocabulary, N tokens of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from pgolf.core.results import Layout, ParamSpec, QuantizedState


class Tokenizer(Protocol):
    """Text to ids and back. ``vocab_size``, ``bos_id`` and ``name`` are plain attributes."""

    name: str
    vocab_size: int
    bos_id: int

    def encode(self, text: str) -> np.ndarray:
        """Ids (uint16 [n]) of ``text``, without BOS."""
        ...

    def decode(self, ids: Sequence[int] | np.ndarray) -> str: ...

    def byte_lengths(self, tokens_N: np.ndarray) -> np.ndarray:
        """Bytes carried by each *target* ``tokens_N[1:]`` given its predecessor: int64 [N-1]."""
        ...


class Loader(Protocol):
    """An endless stream of training batches whose position can be saved and restored.

    Beside its three methods it has ``close``, for what it holds open. ``by_rank``: its state on one of several ranks is
    not that of the others.
    """

    @property
    def by_rank(self) -> bool: ...

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """``(x_BT, y_BT)`` int64 on the CPU; ``y`` is ``x`` shifted by one."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...

    def close(self) -> None:
        """Let go of threads and what was read ahead. ``next_batch`` may be called again and goes on where it was."""
        ...


class Progress(Protocol):
    """Where long work says how far it is; called often, cheap. A new ``label`` begins a new count.

    ``total`` is None where the end is not known.
    """

    def __call__(self, label: str, done: int, total: int | None, /) -> None: ...


class RouteSwitch(Protocol):
    """A moment of training at which another of a model's routes becomes active; ``str`` says when."""

    @property
    def route(self) -> str: ...

    @property
    def start(self) -> float:
        """A fraction of the run, or a step where ``steps``."""
        ...

    @property
    def steps(self) -> bool: ...

    def due(self, step: int, progress: float) -> bool:
        """Whether a run that has taken ``step`` steps and done the fraction ``progress`` has reached it."""
        ...


@runtime_checkable
class Beside(Protocol):
    """A module that makes y [B, T, …] of its first argument x [B, T, …], so that an adapter can stand beside it.

    ``role``: ``mixer`` or ``mlp`` of a layer, or ``matrix``.
    """

    @property
    def role(self) -> str: ...


@runtime_checkable
class Positioned(Protocol):
    """A module that has learnt so many positions of a window and no more; None: it takes any."""

    @property
    def most_positions(self) -> int | None: ...


class Model(Protocol):
    """What training, quantization, packing and evaluation use of a model; an ``nn.Module`` has the last third.

    A route is the order in which a forward pass visits the layers. A model may have several; one is active.
    """

    active: str
    training: bool
    embedding: nn.Parameter
    """[V, D]; scores words too where the head is tied."""
    terms: Sequence[nn.Module]
    """What training makes of the loss (``pgolf.auxiliary.base.Term``), set by whoever builds a trainer; no part of
    the model, of its parameters or of its state."""

    @property
    def routes(self) -> Mapping[str, object]:
        """By name, the one active at the start first and the final one last; ``str`` of one shows its visits."""
        ...

    def activations(self) -> Sequence[RouteSwitch]:
        """When which further route becomes active in training."""
        ...

    def use(self, name: str) -> None:
        """Make a route active and change no weight. Raises ConfigError for an unknown one."""
        ...

    def activate(self, name: str) -> Mapping[str, str]:
        """The switch of training: weights that only now start are copies; their names, with those copied from."""
        ...

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy in nats per target (fp32 scalar); in training mode plus auxiliary losses."""
        ...

    def logits(self, ids_BT: Tensor, keep: int | None = None) -> Tensor:
        """fp32 logits of the next token at the last ``keep`` positions (None: all): [B, keep, V]."""
        ...

    def hidden(self, ids_BT: Tensor) -> Tensor:
        """The normed final stream [B, T, D], which ``output_table`` turns into logits."""
        ...

    def project(self, x_BTD: Tensor) -> Tensor:
        """fp32 logits [B, T, V] of rows of ``hidden``."""
        ...

    @property
    def output_table(self) -> Tensor:
        """The matrix [V, D] that scores words."""
        ...

    def param_specs(self) -> Mapping[str, ParamSpec]:
        """Optimizer group, storage role and component of every parameter, shared ones once."""
        ...

    def aliases(self) -> Mapping[str, str]:
        """Further state-dict names of shared parameters, each with the name it is stored under."""
        ...

    def addon_sites(self) -> Mapping[str, Sequence[str]]:
        """By addon, the sites at which it hangs."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def modules(self) -> Iterator[nn.Module]: ...

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> Any: ...

    def train(self, mode: bool = True) -> Model: ...

    def eval(self) -> Model: ...

    def requires_grad_(self, requires_grad: bool = True) -> Model: ...

    def to(self, device: torch.device) -> Model: ...


@runtime_checkable
class TellingModel(Model, Protocol):
    """A model that can be asked for vectors of each position beside its logits."""

    def widths(self) -> Mapping[str, int]:
        """Their names, each with how many numbers it has."""
        ...

    def hidden_and(self, ids_BT: Tensor, names: Sequence[str]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """What ``hidden`` gives, and of the same pass these vectors, [B, T, W]."""
        ...


class Quantizer(Protocol):
    """Weights to small integers and back. Options inherit the defaults of ``pgolf.quant.base.BaseQuantizer``.

    ``calibration_source`` measures what ``quantize`` takes as ``calibration``; None where nothing is needed.
    ``target_bytes``: the size to hit (then it is a ``pgolf.quant.target.Targets``), or None.
    ``trains_through_export``: training rounds a tensor by storing it alone and decoding it.
    ``pipeline``: the ``pgolf.quant.pipeline.Pipeline`` of quantizers onto the grid with a scale per row, or None.
    ``trained_bits``: what trained weights take beyond Gaussian ones, bits a weight. ``follows_law``: their size does
    not matter.
    """

    @property
    def calibration_source(self) -> Any: ...

    @property
    def target_bytes(self) -> int | None: ...

    @property
    def trains_through_export(self) -> bool: ...

    @property
    def pipeline(self) -> Any: ...

    @property
    def trained_bits(self) -> float: ...

    @property
    def follows_law(self) -> bool: ...

    def quantize(
        self,
        state: Mapping[str, Tensor],
        specs: Mapping[str, ParamSpec],
        aliases: Mapping[str, str] | None = None,
        calibration: Any = None,
    ) -> QuantizedState: ...

    def dequantize(self, state: QuantizedState) -> dict[str, Tensor]: ...

    def forecast_model(self, specs: Mapping[str, ParamSpec], shapes: Mapping[str, Sequence[int]]) -> dict[str, float]:
        """Expected bytes of every tensor before training, scales included, and of what is stored beside them."""
        ...


class Compressor(Protocol):
    """Bytes to fewer bytes. ``codec_id`` is written into the artifact and selects the decoder.

    ``beyond_law``: by storage role, bits that a weight takes beyond the Gaussian law (``pgolf.quant.forecast``), for
    forecasts alone; its default is that of ``pgolf.compressor.base.BaseCompressor``.
    """

    codec_id: str
    beyond_law: ClassVar[Mapping[str, float]]

    def encode(self, raw: bytes, layout: Layout) -> bytes:
        """``layout`` says what the bytes are; most compressors have no use for it."""
        ...

    def decode(self, packed: bytes, raw_length: int, layout: Layout) -> bytes: ...


@runtime_checkable
class Logger(Protocol):
    """A sink for a run's facts. It may never fail a run."""

    def start(self, facts: Mapping[str, Any]) -> None:
        """``run``: who it is, with ``job`` (train, sweep, requantize, eval) and whether it was ``resumed``; ``config``,
        composed; ``machine``."""
        ...

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def finish(self, result: Mapping[str, Any]) -> None: ...


@runtime_checkable
class Buffers(Protocol):
    """A logger that keeps back what it is told."""

    def flush(self) -> None:
        """Write it all, so that a run that is resumed finds it."""
        ...


class Corpus(Protocol):
    """A source's documents as text, wherever they are needed beside its tokens."""

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(name, text) of each document of ``train``, ``dev`` or ``val``, in the frozen order."""
        ...
