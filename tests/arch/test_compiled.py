"""Every option of a model through the whole compiler front: forward and backward graphs, mutations taken out."""

import pytest
import torch

from tests.arch.covering import OFF, ON, covering_rows, factors, forbidden, words_of
from tests.arch.one_graph import loss_and_gradients
from tests.helpers import randomise, tiny_model

ROWS = covering_rows(factors(), forbidden(), together=1)


def test_the_rows_contain_every_option():
    assert {choice for row in ROWS for choice in row.items()} == {
        (n, v) for n, known in factors().items() for v in known
    }


# All of them take a minute and a half; presets: tests/arch/test_presets.py.
@pytest.mark.slow
@pytest.mark.parametrize(
    "number", range(len(ROWS)), ids=lambda n: "+".join(["row", *sorted(set(ROWS[n].values()) - {OFF, ON})])
)
def test_every_option_trains_through_the_compilers_front_in_the_last_route(number):
    torch._dynamo.reset()
    model = tiny_model(*words_of(ROWS[number])).train()
    randomise(model)
    model.activate(list(model.routes)[-1])
    compiled = torch.compile(model.loss, fullgraph=True, backend="aot_eager", dynamic=False)
    torch.testing.assert_close(loss_and_gradients(model, compiled), loss_and_gradients(model, model.loss))
