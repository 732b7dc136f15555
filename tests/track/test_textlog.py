from pathlib import Path

import pytest

from pgolf.core.errors import RunError
from pgolf.track import textlog
from pgolf.track.textlog import TextLog, parse_log

CASES = [
    (
        textlog.val_loader("./val_*.bin", 62021632),
        "val_loader",
        {"pattern": "./val_*.bin", "tokens": 62021632},
    ),
    (textlog.train_loader("sotu", 80), "train_loader", {"dataset": "sotu", "train_shards": 80}),
    (textlog.model_params(17059912), "model_params", {"params": 17059912}),
    (textlog.world_size(8, 1), "world_size", {"world_size": 8, "grad_accum_steps": 1}),
    (textlog.seed(42), "seed", {"seed": 42}),
    (textlog.warmup_step(1, 20), "warmup_step", {"step": 1, "steps": 20}),
    (
        textlog.train_step(500, 20000, 2.36191, 43.652),
        "train_step",
        {"step": 500, "steps": 20000, "train_loss": 2.3619, "train_ms": 43652.0, "step_avg_ms": 87.3},
    ),
    (
        textlog.val_step(6248, 20000, 1.8982, 1.1242, 600.028),
        "val_step",
        dict(step=6248, steps=20000, val_loss=1.8982, val_bpb=1.1242, train_ms=600028.0, step_avg_ms=96.04),
    ),
    (
        textlog.switch("late_qat", "enabled", 5772, scale=0.1498),
        "switch",
        {"name": "late_qat", "event": "enabled", "step": 5772, "scale": 0.1498},
    ),
    (textlog.switch("swa", "start", 5650), "switch", {"name": "swa", "event": "start", "step": 5650}),
    (
        textlog.stopping_early("wallclock_cap", 600.028, 6248, 20000),
        "stopping_early",
        {"reason": "wallclock_cap", "train_ms": 600028.0, "step": 6248, "steps": 20000},
    ),
    (
        textlog.peak_memory(26999 << 20, 27046 << 20),
        "peak_memory",
        {"allocated_mib": 26999, "reserved_mib": 27046},
    ),
    (
        textlog.post_ema(1.9, 1.1232, 2.5),
        "post_ema",
        {"val_loss": 1.9, "val_bpb": 1.1232, "eval_ms": 2500.0},
    ),
    (textlog.calibration("gptq", 239.9), "calibration", {"method": "gptq", "seconds": 239.9}),
    (
        textlog.wallclock("post_gptq", 856.2, 600),
        "wallclock",
        {"after": "post_gptq", "elapsed_s": 856.2, "budget_s": 600.0},
    ),
    (
        textlog.serialized_model("int6+brotli", 15825764),
        "serialized_model",
        {"label": "int6+brotli", "bytes": 15825764},
    ),
    (textlog.code_size(93853), "code_size", {"bytes": 93853}),
    (textlog.artifact_hash("ab12"), "artifact_hash", {"sha256": "ab12"}),
    (
        textlog.submission_size("int6+brotli", 15919617),
        "submission_size",
        {"label": "int6+brotli", "bytes": 15919617},
    ),
    (
        textlog.roundtrip("int8_zlib", 2.07269931, 1.2243657, 1.401)[0],
        "final",
        {"label": "final_int8_zlib_roundtrip", "val_loss": 2.0727, "val_bpb": 1.2244, "eval_ms": 1401.0},
    ),
    (
        textlog.final_score("int6", "streaming+backoff", 1.5, 1.25, 2)[1],
        "final_exact",
        {"label": "final_int6_streaming_backoff", "val_loss": 1.5, "val_bpb": 1.25},
    ),
    (
        textlog.roundtrip("int8_zlib", 2.07269931, 1.2243657, 1.401)[1],
        "final_exact",
        {"label": "final_int8_zlib_roundtrip", "val_loss": 2.07269931, "val_bpb": 1.2243657},
    ),
    (
        textlog.sliding_window("int6", 1.86785780, 1.10625353, 64, 77.0)[0],
        "final",
        dict(label="final_int6_sliding_window", val_loss=1.8679, val_bpb=1.1063, stride=64, eval_ms=77000.0),
    ),
    (
        textlog.sliding_window("int6", 1.86785780, 1.10625353, 64, 77.0)[1],
        "final_exact",
        {"label": "final_int6_sliding_window", "val_loss": 1.8678578, "val_bpb": 1.10625353},
    ),
]

PUBLISHED = """\
step:500/20000 train_loss:2.3619 train_time:43652ms step_avg:87.30ms
step:6248/20000 val_loss:1.8982 val_bpb:1.1242 train_time:600028ms step_avg:96.04ms
recurrence:activated step:3000
swa:start step:5650
late_qat:enabled step:5772 scale:0.1498
stopping_early: wallclock_cap train_time:600028ms step:6248/20000
Serialized model int8+zlib: 15963234 bytes (payload:19547424 raw_torch:19592537 payload_ratio:3.92x)
Total submission size int6+brotli: 15919617 bytes
final_int8_zlib_roundtrip val_loss:2.0727 val_bpb:1.2244 eval_time:1401ms
final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:1.22436570
final_int6_sliding_window val_loss:1.9100 val_bpb:1.1312 stride:64 eval_time:69216ms
legal_ttt_exact val_loss:1.86000000 val_bpb:1.10200000
"""

SOURCE = """\
    log0(f"step:{step}/{args.iterations} train_loss:{train_loss.item():.4f} train_time:{ms:.0f}ms step_avg:{a:.2f}ms")
log0(f"seed:{args.seed}")
model_params:{n_params}
step:{step}/20000 train_loss:{train_loss:.4f} train_time:{t:.0f}ms step_avg:{t / step:.2f}ms
final_int8_zlib_roundtrip_exact val_loss:{q_val_loss:.8f} val_bpb:{q_val_bpb:.8f}
f"final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:1.22436570"
 seed:42
swa:start step:{step}
Serialized model {label}: {size} bytes
x:int y step:3 = 4
Code size: {code_bytes} bytes
"""


@pytest.mark.parametrize(("line", "kind", "facts"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_formatted_line_parses_back(line, kind, facts):
    (record,) = parse_log(line + "\n")
    assert (record.kind, record.line, record.facts) == (kind, 1, facts)


def test_every_kind_of_line_has_a_case():
    kinds = {"final" if kind == "final_strided" else kind for kind in textlog.LINES} | {"switch"}
    assert kinds == {kind for _, kind, _ in CASES}


def test_published_lines_are_written_to_the_letter():
    ours = [line for line, _, _ in CASES]
    for line in PUBLISHED.splitlines():
        assert len(parse_log(line)) == 1, line
    for number in (0, 1, 3, 4, 5, 7, 8, 9):
        assert PUBLISHED.splitlines()[number] in ours


def test_source_code_before_the_log_does_not_match():
    records = parse_log(SOURCE + PUBLISHED)
    assert len(records) == len(PUBLISHED.splitlines())
    assert records[0].line == len(SOURCE.splitlines()) + 1


def test_loss_that_is_not_a_number_still_parses():
    (record,) = parse_log(textlog.train_step(3, 20, float("nan"), 1.0))
    assert record.facts["train_loss"] != record.facts["train_loss"]


def test_awkward_names_cannot_break_a_line():
    (record,) = parse_log(textlog.train_loader("my {odd} 'set'\nseed:9", 1))
    assert record.kind == "train_loader" and record.facts["train_shards"] == 1


def test_log_file_is_on_disk_line_by_line(tmp_path):
    with TextLog(tmp_path / "train.log") as log:
        log.write(textlog.seed(1), *textlog.roundtrip("int6", 1.0, 1.0, 1.0))
        assert [record.kind for record in parse_log(log.path.read_text())] == ["seed", "final", "final_exact"]


def test_log_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        TextLog(Path(tmp_path))
