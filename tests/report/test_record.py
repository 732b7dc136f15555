"""A record folder holds what was run, says which rules it breaks, and can be judged by others."""

import hashlib
import json
import shutil

import pytest

from pgolf.bundle.script import script_of
from pgolf.cli.main import main
from pgolf.core.errors import RunError
from pgolf.core.results import Score
from pgolf.report import checklist
from pgolf.report.checklist import Check
from pgolf.report.gather import gather
from pgolf.report.history import RunHistory
from pgolf.report.record import record_problems, record_runs, write_record
from pgolf.report.reference import read_reference
from pgolf.report.schema import problems_of
from pgolf.report.stated import About
from pgolf.run import verify as road
from pgolf.track import textlog
from tests.helpers import SMOKE, tiny_settings
from tests.proof.making import eval_node, write_artifact
from tests.report.making import write_run

ABOUT = About("A. N. Author", "author", "short", "What it is.", "2026-03-31")
SCORES = {1: 1.21, 2: 1.22, 3: 1.23}
# As a bundled script has them, and no more of it than that it says how it is used and keeps a kernel that it compiles.
MODULES = {
    "pgolf.core.threads": "def bound_spinning():0",
    "pgolf.run.bundled": (
        "import os,sys,numpy\n"
        "def main(cfg):\n"
        " open(os.environ.get('NUMBA_CACHE_DIR','.')+'/kernel.nbi','w').close()\n"
        " print('usage:',sys.argv);return'--help'not in sys.argv"
    ),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three seeds of one config as runs leave them; scores are invented, artifact and form of the script are real."""
    root = tmp_path_factory.mktemp("runs")
    cfg = dict(tiny_settings(*SMOKE))
    cfg["budget"] = {**cfg["budget"], "train_seconds": 300.0, "eval_seconds": 300.0}
    script = script_of(MODULES, {"data": None})
    for seed, bpb in SCORES.items():
        node = eval_node(batch_windows=seed)  # something, so that each is another file
        artifact = write_artifact(root / "artifact.pgolf", eval=node).read_bytes()
        fill(write_run(root, "x", seed, bpb, cfg=cfg), script, artifact)
    return root / "x"


def fill(folder, script, artifact):
    """What the folder of a run holds beside its result, and in the result what it says of that."""
    (folder / "train_gpt.py").write_bytes(script)
    (folder / "artifact.pgolf").write_bytes(artifact)
    total = len(script) + len(artifact)
    facts = {"sha256": hashlib.sha256(artifact).hexdigest(), "code_sha256": hashlib.sha256(script).hexdigest()}
    change(folder, artifact={**facts, "bytes_total": total, "bytes_code": len(script)})
    result = read(folder / "result.json")
    probe = result["certificate"]["probes"][0]
    change(folder, certificate={"probes": [{**probe, "letter": letter} for letter in "abcdefg"]})
    final = result["scores"]["final"]
    lines = [textlog.seed(result["run"]["seed"]), textlog.submission_size("x", total)]
    lines += textlog.final_score("x", "sliding", final["val_loss"], final["val_bpb"], 61.0)
    (folder / "train.log").write_text("\n".join(lines) + "\n")
    (folder / "overrides").write_text("size=tiny\nrun_root=/home/me/runs\nseed=1\n+notes=a b\nquant.bits=5\n")


def read(path):
    return json.loads(path.read_text())


def change(folder, **parts):
    path = folder / "result.json"
    result = read(path)
    for name, changes in parts.items():
        result[name] = {**result[name], **changes} if isinstance(changes, dict) else changes
    path.write_text(json.dumps(result))


def lose(folder, part, key):
    result = read(folder / "result.json")
    del result[part][key]
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def runs(source, tmp_path):
    shutil.copytree(source, tmp_path / "runs" / "x")
    return tmp_path / "runs" / "x"


@pytest.fixture
def spared(monkeypatch):
    """Without the process of the script."""
    monkeypatch.setattr(
        checklist, "_runs_alone", lambda folder: Check("the script runs in this folder", True, "spared")
    )


def failed(checks):
    return {check.rule: check.told for check in checks if check.passed is False}


def test_a_record_holds_every_seed_and_its_script_runs_there(runs, tmp_path):
    out = tmp_path / "2026-03-31_Short"
    checks = write_record([runs], out, ABOUT)
    rest = failed(checks)
    assert [rule for rule in rest if "budget" not in rule] == [], rest
    names = {path.name for path in out.iterdir()}
    assert {"README.md", "submission.json", "train_gpt.py", "requirements.txt", "config.yaml"} <= names
    assert "kernel.nbi" not in names
    for seed in SCORES:
        assert {f"train_seed{seed}.log", f"artifact_seed{seed}.pgolf", f"result_seed{seed}.json"} <= names
    node = read(out / "submission.json")
    assert (
        problems_of(node) == []
        and node["val_bpb"] == pytest.approx(1.22)
        and node["val_bpb_std"] == pytest.approx(0.01)
    )
    assert node["bytes_total_is"] == "the largest of the seeds" and node["seeds"] == [1, 2, 3]
    text = (out / "README.md").read_text()
    assert (
        "**1.22000 ± 0.01000 (n−1) bits per byte** over 3 seeds" in text
        and "python train.py size=tiny quant.bits=5" in text
    )
    everything = "".join(path.read_text() for path in out.iterdir() if path.suffix in (".md", ".json", ".yaml"))
    assert "/home/me" not in everything and "/somewhere" not in everything and str(tmp_path) not in everything


def test_a_script_that_does_not_run_alone_is_named(tmp_path):
    (tmp_path / "train_gpt.py").write_text("import nothing_of_that_name\n")
    found = checklist._runs_alone(tmp_path)
    assert found.passed is False and "nothing_of_that_name" in found.told


def broken(runs, seed=2):
    return runs / f"seed={seed}"


LIES = {
    "more bytes than the result says": (lambda f: grow(f), "within the cap"),
    "another artifact": (lambda f: change(f, artifact={"sha256": "0" * 64}), "files are those that were scored"),
    "training too long": (lambda f: change(f, ledger={"calibrate": 900.0}), "training, calibration"),
    "a probe that was not asked": (lambda f: change(f, certificate={"probes": []}), "certificate: normalised"),
    "no kernel": (lambda f: change(f, certificate={"isolation": "audit hook only"}), "nothing else"),
    "another run's log": (lambda f: shutil.copy(f.parent / "seed=1" / "train.log", f / "train.log"), "logs are those"),
    "a log that was cut": (lambda f: (f / "train.log").write_text("seed:2\n"), "logs are those"),
}  # fmt: skip


def grow(folder):
    """An artifact of more than the cap."""
    with open(folder / "artifact.pgolf", "ab") as artifact:
        artifact.write(b"\0" * 3_000_000)


@pytest.mark.parametrize("name", LIES)
def test_a_rule_that_is_broken_fails_its_check_by_name(runs, tmp_path, spared, name):
    lie, rule = LIES[name]
    lie(broken(runs))
    told = failed(write_record([runs], tmp_path / "out", ABOUT))
    (found,) = [text for key, text in told.items() if rule in key]
    assert "seed 2" in found or "seed 2" in str(told)


def test_fewer_than_three_seeds_and_a_selection_of_them_are_named(runs, tmp_path, spared):
    told = failed(write_record([runs / "seed=1", runs / "seed=2"], tmp_path / "out", ABOUT))
    assert any("at least 3 seeds" in rule for rule in told)
    (selection,) = [text for rule, text in told.items() if "disclosed" in rule]
    assert "seed 3" in selection
    disclosed = read(tmp_path / "out" / "submission.json")["seed_results_all_runs_disclosure"]
    assert [(run["seed"], run["counted"]) for run in disclosed] == [(1, True), (2, True), (3, False)]


def test_runs_that_failed_are_disclosed_and_no_selection(runs, tmp_path, spared):
    change(broken(runs, 3), status="over_cap", reason="5 bytes over")
    told = failed(write_record([runs], tmp_path / "out", ABOUT))
    assert not any("disclosed" in rule for rule in told)
    (run,) = [
        r for r in read(tmp_path / "out" / "submission.json")["seed_results_all_runs_disclosure"] if not r["counted"]
    ]
    assert run["seed"] == 3 and "5 bytes over" in run["reason"]
    text = (tmp_path / "out" / "README.md").read_text()
    assert "5 bytes over" in text and str(tmp_path) not in text


def copied(runs, seed, of=1):
    """The files of another seed's run under a seed of its own, with a score that is a little other."""
    folder, source = runs / f"seed={seed}", runs / f"seed={of}"
    facts = read(source / "result.json")["artifact"]
    (folder / "artifact.pgolf").write_bytes((source / "artifact.pgolf").read_bytes())
    change(folder, artifact={name: facts[name] for name in ("sha256", "bytes_total")})


def test_one_training_under_the_names_of_three_seeds_is_one_run(runs, tmp_path, spared):
    for seed in (2, 3):
        copied(runs, seed)
    told = failed(write_record([runs], tmp_path / "out", ABOUT, read_reference("1.5")))
    assert any("at least 3 seeds" in rule for rule in told)
    node = read(tmp_path / "out" / "submission.json")
    assert node["seeds"] == [1] and node["comparison"][0]["verdict"] == "not shown"
    reasons = {run["seed"]: run["reason"] for run in node["seed_results_all_runs_disclosure"]}
    assert "its artifact is that of seed 1" in reasons[2] and "its artifact is that of seed 1" in reasons[3]


def test_artifacts_that_are_one_are_counted_once_whatever_the_results_say_of_them(runs, tmp_path, spared):
    (runs / "seed=2" / "artifact.pgolf").write_bytes((runs / "seed=1" / "artifact.pgolf").read_bytes())
    told = failed(write_record([runs], tmp_path / "out", ABOUT))
    (seeds,) = [text for rule, text in told.items() if "at least 3 seeds" in rule]
    assert seeds == "3 runs with 2 artifacts"


def test_a_loss_that_is_not_the_scores_is_no_score(runs, tmp_path, spared):
    """The rule is in nats per token; bits per byte may be true beside it."""
    result = read(runs / "seed=2" / "result.json")
    result["scores"]["final"]["val_loss"] -= 1e-6
    change(runs / "seed=2", scores=result["scores"])
    write_record([runs], tmp_path / "out", ABOUT)
    node = read(tmp_path / "out" / "submission.json")
    assert node["seeds"] == [1, 3]
    (reason,) = [run["reason"] for run in node["seed_results_all_runs_disclosure"] if run["reason"]]
    assert "not of one code length: val_loss 3.3825572" in reason


def test_a_log_with_another_loss_is_named(runs, tmp_path, spared):
    log = runs / "seed=2" / "train.log"
    log.write_text(log.read_text().replace("val_loss:3.38255824", "val_loss:3.38255823"))
    told = failed(write_record([runs], tmp_path / "out", ABOUT))
    assert any("seed 2: final val_loss: the log has 3.38255823" in text for text in told.values())


def test_folders_that_are_no_runs_are_disclosed_without_their_places(runs, tmp_path, spared):
    (runs / "seed=4").mkdir()
    for seed in (5, 6):
        shutil.copytree(runs / "seed=1", runs / f"seed={seed}")
    change(runs / "seed=6", artifact={"bytes_code": None})
    write_record([runs], tmp_path / "out", ABOUT)
    node, text = read(tmp_path / "out" / "submission.json"), (tmp_path / "out" / "README.md").read_text()
    reasons = {run["run"]: run["reason"] for run in node["seed_results_all_runs_disclosure"]}
    assert "empty" in reasons["x/seed=4"] and "that of seed=1" in reasons["x/seed=5"]
    assert reasons["x/seed=6"].endswith("half a result: artifact.bytes_code is None, not a whole number")
    assert "x/seed=4" in text and str(tmp_path) not in text + json.dumps(node)


def test_significance_is_a_check_where_it_was_asked(runs, tmp_path, spared):
    checks = write_record([runs], tmp_path / "out", ABOUT, read_reference("1.5"))
    assert checks[-1].passed and "a record by the rule" in checks[-1].told
    checks = write_record([runs], tmp_path / "out2", ABOUT, read_reference("1.2"))
    assert checks[-1].passed is False
    assert write_record([runs], tmp_path / "out3", ABOUT)[-1].passed is None


REFUSED = {
    "another script": (lambda f: (f / "train_gpt.py").write_bytes(b"#"), "2 scripts"),
    "no script": (lambda f: (f / "train_gpt.py").unlink(), "no claim|claim without its code"),
    "no artifact": (lambda f: (f / "artifact.pgolf").unlink(), "a record holds it"),
    "half a certificate": (lambda f: change(f, certificate={"probes": [1]}), "no probe"),
    "no hash of the script": (lambda f: lose(f, "artifact", "code_sha256"), "artifact.code_sha256 is not in it"),
    "another config": (lambda f: change(f, run={"config_hash": "9" * 64}), "runs of 2 configs"),
    "another text": (lambda f: change(f, scores={**read(f / "result.json")["scores"], "final": {
        **read(f / "result.json")["scores"]["final"], "bytes": 8000, "tokens": 2000}}), "not averaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_one_record_is_refused(runs, tmp_path, spared, name):
    break_it, message = REFUSED[name]
    break_it(broken(runs))
    with pytest.raises(RunError, match=message):
        write_record([runs], tmp_path / "out", ABOUT)


def test_runs_of_which_none_counts_are_refused_with_every_reason(runs, tmp_path, spared):
    for seed in SCORES:
        change(broken(runs, seed), status="over_time", reason=f"{seed} late")
    with pytest.raises(RunError, match=r"none|no run has a score that counts[\s\S]*1 late[\s\S]*3 late"):
        write_record([runs], tmp_path / "out", ABOUT)


@pytest.fixture
def record(runs, tmp_path, spared):
    write_record([runs], tmp_path / "rec", ABOUT)
    return tmp_path / "rec"


def test_a_record_is_a_reference_on_its_own_text(record):
    (reference,) = read_reference(str(record))
    assert reference.bpb.n == 3 and reference.bpb.mean == pytest.approx(1.22) and reference.scored.bytes == 4000
    assert not reference.published and not reference.exact


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda node: node.pop("val_loss"), "val_loss: missing"),
        (lambda node: node.update(val_bpb=1.0), "val_bpb: 1.0 is stated"),
        (lambda node: node.update(val_bpb_std=None), "val_bpb_std"),
        (lambda node: node["seed_results"]["2"].update(val_loss=3.37), "seed 2: val_loss 3.37 over 1,000 tokens"),
        (
            lambda node: node["seed_results"]["3"].update(artifact_sha256=node["seed_results"]["1"]["artifact_sha256"]),
            "seeds 1, 3 have one artifact",
        ),
        (lambda node: node.update(bytes_total=1), "bytes_total: 1 is stated"),
        (lambda node: node.update(seeds=[1]), "seeds: [1]"),
        (lambda node: node.update(fast=True), "fast: no field"),
        (lambda node: node.update(val_bpb="low"), "val_bpb: 'low' is no number"),
        (lambda node: node["seed_results"]["2"].update(steps=True), "seed_results.2.steps"),
        (lambda node: node.update(seed_results={}), "seed_results: no seed"),
        (lambda node: node.update(schema="mine"), "schema: not"),
        (lambda node: node["checks"].append(1), "is no mapping"),
    ],
)
def test_a_submission_is_held_to_its_schema(record, edit, problem):
    node = read(record / "submission.json")
    edit(node)
    assert any(problem in found for found in problems_of(node))


def test_verify_judges_every_seed_of_a_record(record, monkeypatch, capsys):
    judged = []

    def judge(folder, texts, certify, cache_dir):
        judged.append(sorted(path.name for path in folder.iterdir()))
        return road.Judged(4 if folder.name == "seed=2" else 0)

    monkeypatch.setattr(road, "_verify_run", judge)
    assert main(["verify", str(record)]) == 4
    assert judged == [["artifact.pgolf", "config.yaml", "result.json", "train_gpt.py"]] * 3
    assert "does not stand: seed 2" in capsys.readouterr().out
    monkeypatch.setattr(road, "_verify_run", lambda *_: road.Judged(0))
    assert main(["verify", str(record)]) == 0 and "the claim of 3 runs stands" in capsys.readouterr().out


def test_a_seed_that_cannot_be_judged_keeps_no_other_from_it(record, monkeypatch, capsys):
    def judge(folder, *_):
        if folder.name == "seed=1":
            raise RunError("cannot be read")
        return road.Judged(0)

    monkeypatch.setattr(road, "_verify_run", judge)
    assert main(["verify", str(record)]) == 2
    out = capsys.readouterr()
    assert "seed=1: cannot be read" in out.err and "does not stand: seed 1" in out.out


def found_of(folder, by=0.0):
    """The score of the run in ``folder``, this much worse."""
    final = read(folder / "result.json")["scores"]["final"]
    final |= {name: final[name] * (1 + by) for name in ("val_bpb", "val_loss", "claimed_bpb")}
    return road.Judged(0, Score(**final))


def test_what_is_compared_is_what_verify_found_and_not_what_was_claimed(record, monkeypatch, capsys):
    monkeypatch.setattr(road, "_verify_run", lambda folder, *_: found_of(folder, by=0.25))
    assert main(["verify", str(record), "--against", "1.5"]) == 0
    out = capsys.readouterr().out
    assert "1.525000 ± 0.012500 bits per byte" in out and "against 1.5 bits per byte" in out
    assert "a record by the rule" not in out
    monkeypatch.setattr(road, "_verify_run", lambda folder, *_: found_of(folder))
    assert main(["verify", str(record), "--against", "1.5"]) == 0
    assert "a record by the rule" in capsys.readouterr().out


def test_seeds_that_score_the_same_to_the_last_bit_are_one_training(record, monkeypatch, capsys):
    monkeypatch.setattr(road, "_verify_run", lambda folder, *_: found_of(folder.parent / "seed=1"))
    assert main(["verify", str(record)]) == 4
    assert "seed=2: scores as seed=1 does, to the last bit" in capsys.readouterr().out


def test_a_seed_over_time_here_is_told_apart_from_one_that_does_not_stand(record, monkeypatch, capsys):
    monkeypatch.setattr(road, "_verify_run", lambda folder, *_: road.Judged(3 if folder.name == "seed=2" else 0))
    assert main(["verify", str(record)]) == 3
    assert "stands; over time on this machine: seed 2" in capsys.readouterr().out


def test_verify_finds_a_submission_that_says_other_than_its_results(record, monkeypatch, capsys):
    monkeypatch.setattr(road, "_verify_run", lambda *_: road.Judged(0))
    node = read(record / "submission.json")
    for row in node["seed_results"].values():
        row |= {name: 0.9 * row[name] for name in ("val_bpb", "val_loss")}
    node |= {name: 0.9 * node[name] for name in ("val_bpb", "val_loss", "val_bpb_std", "val_loss_std")}
    (record / "submission.json").write_text(json.dumps(node))
    assert main(["verify", str(record)]) == 4
    out = capsys.readouterr().out
    assert out.count("differs") == 6 and "val_bpb" in out and len(record_problems(record)) == 6


@pytest.mark.parametrize("name", ["result_seed2.json", "artifact_seed1.pgolf", "train_gpt.py", "config.yaml"])
def test_a_record_with_a_part_missing_is_not_judged(record, tmp_path, name):
    (record / name).unlink()
    with pytest.raises(RunError, match=name):
        record_runs(record, tmp_path / "room")


def test_a_seed_cannot_name_a_place_outside_the_record(record, tmp_path):
    node = read(record / "submission.json")
    node["seed_results"]["../../1"] = node["seed_results"].pop("1")
    (record / "submission.json").write_text(json.dumps(node))
    with pytest.raises(RunError, match="no seed"):
        record_runs(record, tmp_path / "room")


def test_the_command_returns_the_worst_of_the_checks_that_fail(runs, tmp_path, spared, capsys):
    assert main(["record", str(runs), str(tmp_path / "a"), "--name", "short", "--date", "2026-03-31"]) == 3
    assert "budget is smoke as shipped" in capsys.readouterr().out
    change(broken(runs), certificate={"probes": []})
    assert main(["record", str(runs), str(tmp_path / "b")]) == 4
    assert main(["record", str(runs), str(tmp_path / "b")]) == 2 and "not empty" in capsys.readouterr().err
    assert main(["record", str(runs), str(tmp_path / "c"), "--date", "yesterday"]) == 2


def test_a_record_below_runs_is_named_and_no_run(record):
    (problem,) = gather([record]).problems
    assert problem.reason.startswith("a record, not a run")
    (row,) = RunHistory([record]).rows
    assert row.status == "unreadable" and "a record" in row.why
