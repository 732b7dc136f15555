"""One thread per test process: two test workers share two cores, and results stay repeatable."""

import gc
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest

from pgolf.config.options import only_options
from tests import composing, warm

composing.remember()


def pytest_configure(config):
    chosen = config.option.markexpr
    if "gpu" not in chosen or "not gpu" in chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is tested is a CPU's, its bits too, on whichever machine
    if hasattr(config, "cache"):  # it can be switched off
        composing.keep(config.cache.mkdir("composed"))
    warm.lend()
    only_options()  # as whoever trains or judges has it


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    if "torch._dynamo" in sys.modules:  # its limit of graphs is one for the whole process
        torch._dynamo.reset()


def pytest_collection_finish():
    """What imports have left need not be searched for garbage again and again; nor what tests make so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
