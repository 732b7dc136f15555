"""The option is the iteration of the core: in the asked-for arithmetic, with the asked-for number of steps."""

import pytest
import torch

from pgolf.core.newton_schulz import newton_schulz
from pgolf.optimizer.orthogonal.newton_schulz import NewtonSchulz


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps", [4, 5])
def test_the_option_is_the_iteration_with_its_steps_and_arithmetic(dtype, steps):
    u_KMN = torch.randn(2, 8, 24)
    found = NewtonSchulz(dtype=dtype, steps=steps)(u_KMN)
    assert found.dtype == torch.float32 and torch.equal(found, newton_schulz(u_KMN, steps, dtype))
