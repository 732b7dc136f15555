"""What every form of recurrence must hold, in each of its routes."""

from __future__ import annotations

from typing import Any

import torch

from pgolf.arch.dims import Dims
from pgolf.artifact import container
from pgolf.compressor.zlib import Zlib
from pgolf.core.make import make
from pgolf.optimizer.muon_adamw import partition
from pgolf.quant.none import NoQuantizer
from tests.arch.causality import assert_causal
from tests.arch.one_graph import assert_one_graph
from tests.helpers import BOS, VOCAB, ids, randomise, tiny_model, tiny_settings

CONTROLS = 4 * 32 + 2  # residual mix, two scales and the query gain of one visit at size=tiny
SKIPS = 32


def halves(route: Any) -> tuple[list[int], list[int]]:
    """Physical layers of the encoder and of the decoder visits."""
    both = {half: [v.physical for v in route.visits if v.half == half] for half in ("encoder", "decoder")}
    return both["encoder"], both["decoder"]


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def form(*words: str, layers: int = 11) -> Any:
    """The recurrence alone, for a model of ``layers`` layers."""
    dims = Dims(VOCAB, BOS, layers, width=32, heads=2, kv_heads=1, mlp_hidden=64)
    return make(tiny_settings(*words)["arch"]["recurrence"], dims=dims)


def stir(model: torch.nn.Module, seed: int = 1) -> Any:
    """Move every parameter, so that no scale is one and no matrix zero; repeats that share still share."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def assert_sound(*words: str) -> None:
    """Causal and finite in every route, bf16 autocast included; each parameter lies in one group."""
    model = tiny_model(*words)
    partition(model)
    randomise(model)
    for name in model.routes:
        model.use(name)
        assert_causal(model)
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.isfinite(model.loss(ids(), ids(seed=1)))


def assert_compiles(*words: str) -> None:
    """One graph per route, on two layers."""
    assert_one_graph(stir(tiny_model("arch.layers=2", *words)))


def assert_every_parameter_learns(*words: str) -> None:
    """In the last route every parameter has a gradient once the step-0 trap is left."""
    model = stir(tiny_model(*words))
    model.activate(list(model.routes)[-1])
    model.train()
    model.loss(ids(), ids(seed=1)).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle, f"no gradient: {idle}"


def artifact(model: Any, vocab_size: int = VOCAB) -> Any:
    """The model's weights as an artifact would hold them: the decoded container."""
    state = NoQuantizer().quantize(model.state_dict(), model.param_specs(), model.aliases())
    return container.decode(container.encode({}, state, b"", Zlib(level=1)))
