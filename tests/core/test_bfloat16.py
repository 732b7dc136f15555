"""Products in bf16: what the processor says of itself, and the same numbers where it has none."""

import pytest
import torch

from pgolf.core import bfloat16
from pgolf.core.newton_schulz import newton_schulz

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: bf16 in the name only", False),
    ],
)
def test_a_processors_own_flags_say_whether_it_multiplies_bf16(monkeypatch, tmp_path, flags, native):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{flags}\n")
    monkeypatch.setattr(bfloat16, "CPUINFO", cpuinfo)
    assert bfloat16.is_native.__wrapped__(CPU) is native


@pytest.fixture(params=[True, False], ids=["native", "not native"])
def native(request, monkeypatch):
    monkeypatch.setattr(bfloat16, "is_native", lambda device: request.param)
    return request.param


def test_a_product_is_the_exact_one_rounded_once(native):
    g = torch.Generator().manual_seed(5)
    x, y = (torch.randn(3, *shape, generator=g).bfloat16() for shape in ((24, 40), (40, 16)))
    out = torch.empty(3, 24, 16, dtype=torch.bfloat16)
    bfloat16.bmm(x, y, out)
    exact = torch.bmm(x.double(), y.double())
    # a sum in fp32 may land on the other side of a rounding: at most one unit of eight bits, nearly always none
    assert ((out.double() - exact).abs() <= 2.0**-7 * exact.abs() + 1e-4).all()
    assert (out == exact.bfloat16()).float().mean() > 0.98


def test_fp32_is_multiplied_as_it_is(native):
    x = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(6))
    out = torch.empty_like(x)
    bfloat16.bmm(x, x, out)
    assert torch.equal(out, torch.bmm(x, x))


def test_a_matrix_is_orthogonalised_in_bf16_on_every_processor(monkeypatch):
    u = torch.randn(1, 48, 24, generator=torch.Generator().manual_seed(7))
    found = []
    for native in (True, False):
        monkeypatch.setattr(bfloat16, "is_native", lambda device, native=native: native)
        found.append(newton_schulz(u, 5, torch.bfloat16))
    exact = newton_schulz(u, 5, torch.float32)
    apart = (found[0] - found[1]).norm()
    assert apart < 0.02 * exact.norm() and apart < 0.7 * (found[0] - exact).norm()
