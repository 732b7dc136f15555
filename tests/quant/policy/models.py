"""What policies see of a model: a real one at ``size=tiny``, by default with a repeated pair that owns its MLPs."""

from functools import cache

from pgolf.quant.tensor_info import tensor_infos
from tests.helpers import tiny_model

REPEATED = ("arch=parallel_recur", "arch.recurrence.untie_mlp=full")


@cache
def infos_of(*words):
    """Of the model that these command-line words compose."""
    model = tiny_model(*words)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    return tuple(tensor_infos(model.param_specs(), shapes))


def infos(*words):
    """Of the repeated model with further words: six layers, of which 2 and 3 are visited twice."""
    return infos_of(*REPEATED, *words)
