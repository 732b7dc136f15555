"""Attention by FlashAttention-3, the kernel of the published runs on H100.

``y = softmax(q kᵀ / √K + causal) v`` in bf16. Source: Shah et al. 2024 (arXiv 2407.08608); #549 onward.
Cost in bytes: none beyond the four matrices. Cost in step time: less than the fused kernel of PyTorch on Hopper
GPUs, on which alone it runs. Elsewhere ``fallback`` decides: ``sdpa`` computes the same formula and says so once,
``error`` refuses. Hurts: nothing but portability; the kernel's own package must be installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor

from pgolf.arch.attention.base import Kernel
from pgolf.arch.attention.sdpa import fused
from pgolf.arch.dims import Dims
from pgolf.core.errors import ConfigError

INSTALL = (
    "install it from github.com/Dao-AILab/flash-attention: cd hopper && python setup.py install, "
    "for a Hopper GPU and CUDA 12.3 or later"
)


class FA3(Kernel):
    """``kernel`` is None where FlashAttention-3 cannot run on this machine and ``fallback`` allows another."""

    def __init__(self, *, dims: Dims, fallback: Literal["sdpa", "error"]) -> None:
        super().__init__(dims=dims)
        self.fallback = fallback
        self.kernel = _kernel()
        if self.kernel is None:
            fall_back(fallback, "no module flash_attn_interface")
        elif not torch.cuda.is_available():
            self.kernel = None
            fall_back(fallback, "no CUDA device")

    def mix(self, q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor, context: Any) -> Tensor:
        if self.kernel is not None and q_BTHK.is_cuda:
            return flash(self.kernel, q_BTHK, k_BTGK, v_BTGK)
        if self.kernel is not None and not torch.compiler.is_compiling():
            fall_back(self.fallback, f"the model runs on {q_BTHK.device.type}")
        return fused(q_BTHK, k_BTGK, v_BTGK)


def fall_back(fallback: Literal["sdpa", "error"], reason: str) -> None:
    """Say once why FlashAttention-3 does not run, or raise ConfigError where ``fallback`` is ``error``."""
    if fallback == "error":
        raise ConfigError(
            f"arch.attention: FlashAttention-3 cannot run here ({reason}); {INSTALL}, or choose "
            "arch/attention=sdpa or arch.attention.fallback=sdpa"
        )
    _say_once(
        f"arch.attention: FlashAttention-3 cannot run here ({reason}), PyTorch's fused attention runs "
        f"instead; {INSTALL}"
    )


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _kernel() -> Callable[..., Any] | None:
    """``flash_attn_func`` of the installed FlashAttention-3, or None."""
    try:
        return import_module("flash_attn_interface").flash_attn_func
    except (ImportError, OSError):
        return None


def flash(kernel: Callable[..., Any], q_BTHK: Tensor, k_BTGK: Tensor, v_BTGK: Tensor) -> Tensor:
    """Causal attention by ``kernel`` in half precision (bf16 unless the inputs are fp16), in the inputs' dtype.

    Releases of the kernel differ in whether they return the log-sum-exp beside the output.
    """
    half = q_BTHK.dtype if q_BTHK.dtype in (torch.bfloat16, torch.float16) else torch.bfloat16
    found = kernel(q_BTHK.to(half), k_BTGK.to(half), v_BTGK.to(half), causal=True)
    return (found[0] if isinstance(found, tuple) else found).to(q_BTHK.dtype)
