import json

import pytest

from pgolf.core.errors import RunError
from pgolf.track.result import RunFacts, build_result, read_result, write_result

NOBODY = RunFacts("n", 1, 1, None, None, "abc", "python train.py")


def test_result_has_every_key_of_the_schema(tmp_path, sample):
    result = sample().result
    wanted = {
        "run": "name seed rerun git_sha dirty config_hash command",
        "model": "params size",
        "train": "seconds steps tokens tokens_per_second ms_per_step",
        "artifact": "path bytes_total bytes_weights bytes_code bytes_tokenizer cap_bytes sha256",
        "scores": "dev prequant roundtrip final",
        "certificate": "passed probes",
        "ledger": "",
        "cpu_share": "",
        "anomalies": "",
        "budget": "",
    }
    for part, keys in wanted.items():
        assert set(keys.split()) <= set(result[part]), part
    assert set(result) == {"schema_version", "status", "reason", *wanted}
    score_keys = (
        "val_loss val_bpb side_bits sum_p_mean sum_p_max claimed_bpb renormalised_bpb "
        "method window stride metric split subset tokens bytes seconds valid traces"
    )
    assert set(result["scores"]["final"]) == set(score_keys.split())


def test_result_survives_writing_and_reading(tmp_path, sample):
    result = sample().result
    path = write_result(tmp_path, result)
    assert read_result(tmp_path) == result == read_result(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_failed_run_is_written_with_what_exists_and_nan_is_null(tmp_path):
    result = build_result(
        status="nan_loss",
        reason="loss is nan at step 3",
        run=NOBODY,
        budget={},
        ledger={"train": float("nan")},
    )
    write_result(tmp_path, result)
    text = (tmp_path / "result.json").read_text()
    assert "NaN" not in text
    back = json.loads(text)
    assert (back["status"], back["reason"], back["ledger"]) == (
        "nan_loss",
        "loss is nan at step 3",
        {"train": None},
    )
    assert back["artifact"] is None and back["scores"] == dict.fromkeys(["dev", "prequant", "roundtrip", "final"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no result here"),
        ("{half", "not a readable result"),
        ("[]", "not a result of pgolf"),
        ('{"a": 1}', "no schema_version"),
        ('{"schema_version": 2}', "schema version 2; this pgolf reads version 1"),
        ('{"schema_version": 1, "status": "great"}', "status 'great' is none of finished"),
        ("\udcff", "not a readable result"),
        ('{"unread": ' + "[" * 150 + "]" * 150 + "}", "nested more than 100 levels deep"),
        ('{"unread": ' + "[" * 2_000 + "]" * 2_000 + "}", "nested more than 100 levels deep"),
    ],
)
def test_what_is_no_result_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "result.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match=message):
        read_result(tmp_path)


@pytest.mark.parametrize("name", ["run", "train", "artifact", "scores.final", "certificate", "budget", "ledger"])
def test_half_a_result_is_none_and_what_it_lacks_is_named(tmp_path, sample, name):
    part, _, score = name.partition(".")
    for value in ("lost", 3, [1], {}):
        result = sample().result
        (result[part] if score else result)[score or part] = value
        if value == {} and name in ("budget", "ledger"):
            continue
        write_result(tmp_path, result)
        with pytest.raises(RunError, match=rf"result.json: half a result: {name}"):
            read_result(tmp_path)
    result = sample().result
    del (result[part] if score else result)[score or part]
    write_result(tmp_path, result)
    with pytest.raises(RunError, match=f"half a result: {name} is not in it"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        (("run",), "seed", None),
        (("run",), "seed", True),
        (("train",), "seconds", None),
        (("artifact",), "bytes_code", "many"),
        (("scores", "final"), "valid", 1),
        (("scores", "dev"), "val_bpb", "low"),
    ],
)
def test_a_value_of_another_kind_is_half_a_result(tmp_path, sample, place, key, value):
    result = sample().result
    node = result
    for part in place:
        node = node[part]
    node[key] = value
    write_result(tmp_path, result)
    with pytest.raises(RunError, match=rf"half a result: {'.'.join((*place, key))} is {value!r}, not "):
        read_result(tmp_path)


def test_a_result_of_an_older_pgolf_lacks_what_came_later_and_is_whole(tmp_path, sample):
    result = sample().result
    del result["anomalies"], result["cpu_share"], result["train"]["exported"], result["artifact"]["bytes_packed"]
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result


def test_full_disk_keeps_the_old_result(tmp_path, sample, monkeypatch):
    write_result(tmp_path, sample().result)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_result(tmp_path, sample(status="failed").result)
    assert read_result(tmp_path)["status"] == "finished"
