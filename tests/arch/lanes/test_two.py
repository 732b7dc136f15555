"""Where two lanes may start: never in the encoder half, never before a lower layer, never past the end."""

import pytest
import torch

from pgolf.arch.dims import Dims
from pgolf.arch.lanes.two import TwoLanes, add_write
from pgolf.arch.visits import route
from pgolf.core.errors import ConfigError
from tests.helpers import tiny_model

DIMS = Dims(vocab_size=97, bos_id=1, layers=6, width=32, heads=2, kv_heads=1, mlp_hidden=64)
OPTIONS = ("p1", "p1_no_mlp_to_attention", "p2", "p4")


def lanes(start):
    lanes = TwoLanes(DIMS, start, "used")
    return lambda *routes: lanes.check({s.name: s for s in routes}, 6)


@pytest.mark.parametrize("option", OPTIONS)
def test_lanes_in_the_encoder_half_are_refused_before_anything_runs(option):
    with pytest.raises(
        ConfigError, match=r"arch\.lanes\.start: 2, but visit 2 .* encoder half.*lanes can start from 3, 4, 5"
    ):
        tiny_model(f"arch/lanes={option}", "arch.lanes.start=2")


@pytest.mark.parametrize("option", (*OPTIONS, "p3"))
@pytest.mark.parametrize("start", [6, 40])
def test_a_start_past_the_last_layer_is_refused(option, start):
    with pytest.raises(ConfigError, match=rf"arch\.lanes\.start: {start} out of range; the layers are 0\.\.5"):
        tiny_model(f"arch/lanes={option}", f"arch.lanes.start={start}")


def test_any_schedule_can_forbid_a_start():
    plain = route("plain", range(6))
    looped = route("looped", [0, 1, 2, 3, 4, 3, 4, 3, 4, 5])
    lanes(4)(plain)
    with pytest.raises(ConfigError, match=r"route 'looped' runs layer 4 in the encoder half.*from 5"):
        lanes(4)(plain, looped)
    lanes(5)(plain, looped)


def test_a_lower_layer_after_the_split_is_refused():
    back = route("back", [0, 1, 2, 3, 4, 3, 4, 5], encoder=3)
    with pytest.raises(ConfigError, match=r"visit 5 of route 'back' runs layer 3 after the lanes have split"):
        lanes(4)(back)
    lanes(3)(back)


def test_recurrence_may_overlap_the_start_layer_in_the_decoder_half():
    lanes(4)(route("again", [0, 1, 2, 3, 4, 5, 4, 5], encoder=4))


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as error:
        lanes(1)(route("a", range(6)), route("b", [0, 1, 1, 2, 3, 4, 5]))
    assert len(error.value.problems) == 2


def test_an_absent_sublayer_writes_nothing():
    lane, keep = torch.ones(3), torch.tensor(0.5)
    assert torch.equal(add_write(lane, keep, (keep, None), (keep, lane)), torch.ones(3))


@pytest.mark.parametrize("option", (*OPTIONS, "p3"))
def test_layers_without_attention_still_run_with_lanes(option):
    model = tiny_model(f"arch/lanes={option}", "arch.no_attention=[4]")
    assert model.loss(torch.ones(1, 8, dtype=torch.long), torch.ones(1, 8, dtype=torch.long)).isfinite()
