"""Published logs say what they claim, by the right line, and everything that is odd about them is named."""

import pytest

from pgolf.core.errors import RunError
from pgolf.report.experiments import experiments
from pgolf.report.imports import imported
from pgolf.report.published_log import CLAIMS, read_log
from pgolf.report.reference import read_reference

SOURCE = """seed = int(os.environ.get("SEED", 1337))
    log0(f"final_int6_sliding_window_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}")
    print(f"step:{step}/{steps} val_loss:{loss:.4f} val_bpb:{bpb:.4f}")
  ngram_order: int = 5
"""
FIRST = """val_loader:shards pattern=./data/val_*.bin tokens:62021632
model_params:27000000
world_size:8 grad_accum_steps:1
seed:42
warmup_step:1/20
step:500/20000 train_loss:2.3619 train_time:43652ms step_avg:87.30ms
step:4000/20000 val_loss:2.0000 val_bpb:1.1845 train_time:350000ms step_avg:87.50ms
recurrence:activated step:3000 layers:4,5
step:6248/20000 val_loss:1.8982 val_bpb:1.1242 train_time:600028ms step_avg:96.04ms
stopping_early: wallclock_cap train_time:600028ms step:6248/20000
peak memory allocated: 26999 MiB reserved: 27046 MiB
DIAGNOSTIC post_ema val_loss:1.8964 val_bpb:1.1232 eval_time:2000ms
Serialized model: 106000000 bytes
Code size: 93853 bytes
Total submission size: 106093853 bytes
Serialized model int6+brotli: 15825764 bytes
Total submission size int6+brotli: 15919617 bytes
final_int6_roundtrip val_loss:1.9100 val_bpb:1.1312 eval_time:5000ms
final_int6_roundtrip_exact val_loss:1.91000000 val_bpb:1.13120000
final_int6_sliding_window val_loss:1.8704 val_bpb:1.1077 stride:64 eval_time:100000ms
final_int6_sliding_window_exact val_loss:1.87037189 val_bpb:1.10774252
final_int8_zlib_roundtrip_exact val_loss:1.87037189 val_bpb:1.10774252
"""
SECOND = """Hyperparameters:
  max_wallclock_seconds: 600.0
  seed: 314
  model_params: 35945671
val_tokens: 47851520
500/20000 train_loss: 2.5615 train_time: 0.8m tok/s: 8217810
layer_loop:enabled step:2178 frac:0.350 encoder:[0, 1, 2]
4945/20000 val_loss: 2.3539 val_bpb: 1.0756
stopping_early: wallclock_cap train_time: 599592ms step: 4945/20000
diagnostic pre-quantization post-ema val_loss:2.32500000 val_bpb:1.06240000 eval_time:6500ms
Code size (compressed): 33000 bytes
Total submission size quantized+pergroup: 15901234 bytes
diagnostic quantized val_loss:2.34500000 val_bpb:1.07150000 eval_time:9000ms
ttpp: phase:1/3 pd:1296 gd:833 t:209.3s
quantized_ttt_phased val_loss:2.32112450 val_bpb:1.06061000 eval_time:508800ms
total_eval_time:508.8s
"""


@pytest.fixture
def log(tmp_path):
    def write(text, name="train_seed42.log"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_log_of_the_first_family(log):
    found = read_log(log(SOURCE + FIRST))
    assert (found.seed, found.steps, found.ms_per_step, found.train_seconds) == (42, 6248, 96.04, 600.028)
    assert (found.val_bpb, found.val_loss, found.eval_seconds) == (1.10774252, 1.87037189, 100.0)
    assert (found.prequant_bpb, found.quantized_bpb, found.bytes_total) == (1.1232, 1.1312, 15_919_617)
    assert found.claimed and not found.excluded and "claimed by the line final_int6_sliding_window" in found.notes
    assert not any("n-gram" in note for note in found.notes)


def test_a_log_of_the_second_family(log):
    found = read_log(log(SECOND, "train_seed314.log"))
    assert (found.seed, found.steps, found.train_seconds) == (314, 4945, 599.592)
    assert (found.val_bpb, found.val_loss, found.eval_seconds) == (1.06061, 2.3211245, 508.8)
    assert (found.prequant_bpb, found.quantized_bpb, found.bytes_total) == (1.0624, 1.0715, 15_901_234)
    assert found.ms_per_step == pytest.approx(599_592 / 4945)


def test_lines_that_stand_there_twice_count_once(log):
    doubled = "".join(line + "\n" + line + "\n" for line in FIRST.splitlines())
    once, twice = read_log(log(FIRST)), read_log(log(doubled))
    assert once == twice


@pytest.mark.parametrize("label", CLAIMS[:-3])
def test_each_line_that_a_record_claims_by_wins_over_what_stands_beside_it(log, label):
    """The furthest step is the claim, wherever it is printed."""
    exact = "" if label.startswith("quantized") or label.endswith("lora") else "_exact"
    line = f"{label}{exact} val_loss:1.68000000 val_bpb:0.99500000\n"
    of_family = SECOND.replace("quantized_ttt_phased", "quantized") if label.startswith("quantized") else FIRST
    beside = "".join(f"{other}\n" for other in of_family.splitlines() if not other.startswith(label))
    for text in (line + beside, beside + line):
        found = read_log(log(text))
        assert found.val_bpb == 0.995 and f"claimed by the line {label}" in found.notes


def test_the_round_trip_that_is_printed_again_with_the_claim_is_no_round_trip(log):
    without = FIRST.replace("final_int6_roundtrip", "something_else")
    assert read_log(log(without)).quantized_bpb is None
    plain = "step:10/10 val_loss:2.0731 val_bpb:1.2246\n"
    plain += "final_int8_zlib_roundtrip val_loss:2.0727 val_bpb:1.2244 eval_time:1401ms\n"
    found = read_log(log(plain + "final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:1.22436570\n"))
    assert (found.val_bpb, found.quantized_bpb, found.eval_seconds) == (1.2243657, 1.2243657, 1.401)


PR187 = {
    "v5: neural in val_bpb, claimed in ngram_bpb": (
        "val_loss:1.93770000 val_bpb:1.14760000 ngram_bpb:1.06890000",
        1.0689,
    ),
    "v7: the network's loss beside the claim": ("val_loss:1.93800000 val_bpb:0.94080000", 0.9408),
    "v8: neural in sliding_bpb, claimed in val_bpb": (
        "val_loss:1.93800000 sliding_bpb:1.14780000 val_bpb:0.93930000",
        0.9393,
    ),
}


@pytest.mark.parametrize("case", PR187.values(), ids=PR187)
def test_the_networks_loss_is_not_taken_for_the_claims(log, case):
    pairs, claim = case
    steps = "step:9268/20000 val_loss:1.9400 val_bpb:1.1490 train_time:600028ms step_avg:65.04ms\n"
    found = read_log(log(steps + f"final_sliding_window_exact {pairs}\n"))
    assert found.val_bpb == claim and found.val_loss is None and found.bytes_per_token is None
    assert any("network alone" in note or "another score" in note for note in found.notes)


@pytest.mark.parametrize(
    "line",
    [
        "ngram_done: 7754688 scored, 4046858 hits (52.2%), time=62.0s",
        "expert_logit[ngram_7]: mean=8.0914 std=1.0 min=0 max=9",
        "  ngram_pass2 chunk:15 pass1:0.2817 pass2:0.1136 delta:+0.1680",
    ],
)
def test_counts_in_a_mixture_are_named(log, line):
    assert any("n-gram counts" in note for note in read_log(log(FIRST + line + "\n")).notes)


def test_calibration_belongs_to_training_and_what_is_over_is_said(log):
    found = read_log(log(FIRST + "wallclock:post_gptq total_elapsed:856.2s train_budget:600.0s\n"))
    assert found.train_seconds == 856.2 and any("took 856.2 s of 600" in note for note in found.notes)
    beside = read_log(log(FIRST + "gptq:generated 64 sequences in 220.6s\n"))
    assert beside.train_seconds == 600.028 and any("calibration took 220.6 s" in note for note in beside.notes)
    late = read_log(log(FIRST.replace("eval_time:100000ms", "eval_time:605000ms")))
    assert any("evaluation took 605.0 s" in note for note in late.notes)


UNCLAIMED = {
    "a run that broke off": ("step:500/900 train_loss:2.3 train_time:43652ms step_avg:87.30ms\n", "ends at step 500"),
    "format strings only": (SOURCE, "no log of a known format"),
    "another program": ("epoch 1 loss 3.2\n", "no log of a known format"),
    "an unknown claim": ("final_magic_exact val_loss:1.0 val_bpb:0.5\n", "it has final_magic"),
    "over the cap": (FIRST.replace("15919617", "16071321"), "71,321 bytes over the cap"),
    "no number": ("legal_ttt_exact val_loss:nan val_bpb:nan\n", "no log of a known format"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNCLAIMED.values(), ids=UNCLAIMED)
def test_what_claims_nothing_that_counts_is_named(log, case):
    text, reason = case
    found = read_log(log(text))
    assert reason in found.excluded


def test_files_that_are_no_logs_are_problems_and_lose_no_other(log, tmp_path):
    log(FIRST)
    (tmp_path / "empty.log").write_text("\n")
    (tmp_path / "weights.txt").write_bytes(b"\0\1\2")
    found = imported([tmp_path])
    assert len(found.logs) == 1 and sorted(p.reason for p in found.problems) == ["empty", "no text, so no log"]
    with pytest.raises(RunError, match="nothing here"):
        imported([tmp_path / "missing.log"])


def test_logs_of_one_record_are_its_seeds_and_of_two_vocabularies_are_not_averaged(log):
    paths = [
        log(FIRST.replace("seed:42", f"seed:{seed}").replace("1.10774252", f"1.1077425{seed}"), f"train_seed{seed}.log")
        for seed in (1, 2, 3)
    ]
    (one,) = experiments(imported(paths).logs)
    assert one.bpb.n == 3 and one.seeds == (1, 2, 3)
    paths.append(
        log(FIRST.replace("1.87037189", "2.87037189").replace("val_loss:1.8982", "val_loss:2.9130"), "train_seed4.log")
    )
    (mixed,) = experiments(imported(paths).logs)
    assert mixed.bpb is None and "vocabularies" in mixed.refusal


def test_a_name_and_lines_of_two_seeds_are_named(log):
    found = read_log(log(FIRST, "train_seed7.log"))
    assert found.seed == 42 and any("seed 7" in note for note in found.notes)
    assert read_log(log(FIRST.replace("seed:42\n", ""), "train_seed7.log")).seed == 7


def test_logs_are_a_reference(log, tmp_path):
    for seed, bpb in enumerate(("1.11", "1.12", "1.13"), 1):
        text = FIRST.replace("1.10774252", bpb).replace("1.87037189", f"{float(bpb) * 1.6885}")
        log(text.replace("seed:42", f"seed:{seed}"), f"train_seed{seed}.log")
    (reference,) = read_reference(str(tmp_path))
    assert reference.bpb.n == 3 and reference.published and reference.bpb.mean == pytest.approx(1.12)
    with pytest.raises(RunError, match="ends at step"):
        read_reference(str(log("step:5/10 train_loss:2.3 train_time:4ms step_avg:8.0ms\n", "x.txt")))
