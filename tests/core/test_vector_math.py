"""The first call of each vector function is made on one element, before models are built in any way."""

import subprocess
import sys

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import pgolf.build
import pgolf.eval.from_artifact
from pgolf.core.vector_math import FUNCTIONS, settle_vector_math


class _Calls(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if arguments and isinstance(arguments[0], torch.Tensor):
            name = function.overloadpacket.__name__.removeprefix("special_")
            self.calls.append((name, arguments[0].dtype, arguments[0].numel()))
        return result


def test_each_function_is_called_once_on_one_element_of_each_precision():
    settle_vector_math.cache_clear()
    with _Calls() as seen:
        settle_vector_math()
        settle_vector_math()
    calls = [call for call in seen.calls if call[0] in FUNCTIONS]
    assert sorted(calls, key=str) == sorted(
        [(name, dtype, 1) for name in FUNCTIONS for dtype in (torch.float32, torch.float64)], key=str
    )


def test_both_ways_to_a_model_settle_first():
    assert pgolf.build.settle_vector_math is settle_vector_math
    assert pgolf.eval.from_artifact.settle_vector_math is settle_vector_math


def test_first_large_calls_of_new_processes_agree():
    program = (
        "import torch; from pgolf.core.vector_math import settle_vector_math as settle; settle();"
        "torch.set_num_threads(2); x = torch.arange(1 << 14).float() / 3;"
        "print(x.cos().double().sum().item().hex(), x.sin().double().sum().item().hex())"
    )
    answers = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(answers) == 1
    x = torch.arange(1 << 14).float() / 3
    found = [float.fromhex(word) for word in answers.pop().split()]
    expected = [float(np.cos(x.double().numpy()).sum()), float(np.sin(x.double().numpy()).sum())]
    np.testing.assert_allclose(found, expected, atol=1e-3)
