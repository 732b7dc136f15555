"""A share of the matrices is promoted by the trace of their Hessian, listed layers first."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import Evidence
from tests.quant.nodes import policy, quantizer
from tests.quant.policy.models import infos

INFOS = infos()
MATRICES = [info.name for info in INFOS if info.is_matrix]


def evidence(traces):
    hessians = {name: torch.eye(2) * trace / 2 for name, trace in traces.items()}
    return Evidence({}, hessians, lambda name, bits: 0.0, lambda name, bits: 0.0)


def promoted(traces=None, **changes):
    option = policy("trace", bits=5, **{"first_layers": [3], **changes})
    found = option.treatments(INFOS, None if traces is None else evidence(traces))
    return [name for name, treatment in found.items() if treatment.bits == 6]


@pytest.mark.parametrize("count", range(len(MATRICES) + 1))
def test_exactly_the_share_is_promoted(count):
    assert len(promoted({}, share=count / len(MATRICES))) == count


def test_the_records_share_is_32_of_67():
    assert round(policy("trace", first_layers=[]).share * 67) == 32


def test_the_listed_layers_come_first_whatever_their_traces():
    first = [name for name in MATRICES if ".3." in name or ".3_1." in name]
    found = promoted(dict.fromkeys(set(MATRICES) - set(first), 100.0), share=(len(first) + 1) / len(MATRICES))
    assert set(first) < set(found) and len(found) == len(first) + 1


def test_the_largest_traces_are_promoted():
    traces = {name: float(i) for i, name in enumerate(MATRICES)}
    assert promoted(traces, share=3 / len(MATRICES), first_layers=[]) == MATRICES[-3:]


def test_ties_go_by_name_and_a_matrix_without_hessian_comes_last():
    assert promoted({}, share=2 / len(MATRICES), first_layers=[]) == MATRICES[:2]
    assert promoted({MATRICES[-1]: 1.0}, share=1 / len(MATRICES), first_layers=[]) == [MATRICES[-1]]


def test_without_evidence_as_many_are_promoted():
    assert len(promoted(None, share=0.5)) == round(0.5 * len(MATRICES))


def test_layers_that_do_not_exist_are_named():
    with pytest.raises(ConfigError, match=r"first_layers: \[9\] out of range; the layers are 0\.\.5"):
        promoted({}, first_layers=[1, 9])


def test_rounding_to_nearest_has_no_traces_to_offer():
    with pytest.raises(ConfigError, match=r"quant/policy: Trace.*quant=gptq"):
        quantizer("rtn", bits=5, policy="trace")
