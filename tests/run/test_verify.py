"""A record judged by somebody else: what stands, and every lie in it that is found."""

import json

import pytest
import yaml

from pgolf.artifact import container
from pgolf.bundle.script import make_serving
from pgolf.cli.main import main
from pgolf.config.compose import compose, settings, to_yaml
from pgolf.core.errors import ConfigError
from pgolf.core.results import Certificate, ProbeResult, TrainResult
from pgolf.eval.evaluation import score_stream
from pgolf.eval.from_artifact import evaluation_from
from pgolf.run import stages
from pgolf.run import verify as road
from pgolf.tokenizer.bytes import ByteTokenizer
from pgolf.track.jsonable import to_plain
from pgolf.track.result import RunFacts, build_result, write_result
from tests.proof.making import DOCUMENTS, write_artifact

TEXTS = [document * 4 for document in DOCUMENTS]
TOKENS = 400


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A folder as a run leaves it, with a claim that is true of TEXTS."""
    folder = tmp_path_factory.mktemp("verify") / "seed=1"
    folder.mkdir()
    artifact = write_artifact(folder / "artifact.pgolf")
    loaded = container.read(artifact)
    schemes = {tensor.scheme for tensor in loaded.state.tensors}
    script = make_serving(loaded.header, container.codecs(artifact), schemes, ByteTokenizer).script
    (folder / "train_gpt.py").write_bytes(script)
    words = ["size=tiny", "budget=smoke", f"budget.subset_tokens={TOKENS}", "budget.eval_seconds=200", "data=tiny"]
    cfg = settings(compose([*words, "tokenizer=bytes"]))
    (folder / "config.yaml").write_text(to_yaml(cfg))
    evaluation = evaluation_from(loaded)
    stream_N = road.GivenText(evaluation.tokenizer, TEXTS).stream("val", TOKENS)
    score = score_stream(evaluation, stream_N, split="val", subset=True, valid=True)
    facts = build_result(
        status="finished",
        reason="",
        run=RunFacts("record", 1, 1, None, None, "0" * 64, "python train.py"),
        budget=cfg["budget"],
        train=TrainResult({}, 5.0, 20, 900, "steps"),
        ledger={"train": 5.0, "evaluate": 2.0},
        artifact=road.count(artifact, loaded, script, cfg["budget"]),
        scores={"final": score},
    )
    claim = to_plain(facts) | {
        "certificate": {
            "passed": True,
            "track": "A",
            "profile": "raw",
            "isolation": "landlock",
            "probes": [{"letter": letter, "passed": True, "message": ""} for letter in "abcdefg"],
        },
    }
    write_result(folder, claim)
    return folder


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "texts").mkdir()
    for index, text in enumerate(TEXTS):
        (tmp_path / "texts" / f"{index}.txt").write_text(text)
    return tmp_path / "texts"


@pytest.fixture
def claim_of(record, tmp_path):
    """Copies the record with its claim changed."""

    def change(**changes):
        folder = tmp_path / "record"
        folder.mkdir()
        for path in record.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        claim = json.loads((folder / "result.json").read_text())
        for dotted, value in changes.items():
            place, name = claim, dotted.split("__")
            for key in name[:-1]:
                place = place[key]
            place[name[-1]] = value
        (folder / "result.json").write_text(json.dumps(claim))
        return folder

    return change


def test_a_true_claim_stands(record, texts, tmp_path, capsys):
    assert main(["verify", str(record), str(texts), "--cache-dir", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the claim stands" in out and "both ran the counted script" in out
    assert "subset_tokens is 400 here, 16384 in budget=smoke" in out


def problems(folder):
    claim, cfg = road._claim(folder), road._settings(folder, None, None)
    loaded = container.read(folder / "artifact.pgolf")
    return list(road._byte_problems(claim, folder, loaded, road._script(folder), cfg))


LIES = {"artifact__sha256": "0" * 64, "artifact__bytes_total": 100, "artifact__bytes_code": 1, "artifact__cap_bytes": 1}


@pytest.mark.parametrize("key", list(LIES))
def test_lies_about_bytes_are_counted(record, claim_of, key):
    assert problems(record) == []
    (problem,) = problems(claim_of(**{key: LIES[key]}))
    assert key.replace("__", ".") in problem and "is claimed" in problem


def test_code_or_weights_that_were_changed_are_not_those_of_the_claim(claim_of):
    folder = claim_of()
    with open(folder / "train_gpt.py", "ab") as script:
        script.write(b"#")
    assert {problem.partition(":")[0] for problem in problems(folder)} == {
        "artifact.code_sha256",
        "artifact.bytes_code",
        "artifact.bytes_total",
    }


@pytest.mark.parametrize(("key", "value"), [("val_bpb", 0.9), ("tokens", 100), ("bytes", 5000), ("subset", False)])
def test_lies_about_the_score_are_found(record, claim_of, texts, tmp_path, monkeypatch, key, value):
    """The processes are those of the true claim; here they are spared."""
    final = road._claim(record)["scores"]["final"]
    score = type("Score", (), {**final, **{}})
    assert list(road._score_problems(road._claim(record), score)) == []
    claim = road._claim(claim_of(**{f"scores__final__{key}": value}))
    assert any(f"final.{key}: " in problem for problem in road._score_problems(claim, score))


@pytest.mark.parametrize(
    "moved", [{"val_loss": -0.006}, {"val_loss": -1e-6, "val_bpb": -1e-7}, {"side_bits": 8.0}, {"claimed_bpb": -1e-3}]
)
def test_no_number_of_the_score_is_free_within_the_tolerance(record, moved):
    """The rule is in nats per token."""
    final = road._claim(record)["scores"]["final"]
    claim = {"scores": {"final": {**final, **{name: final[name] + by for name, by in moved.items()}}}}
    assert list(road._score_problems(claim, type("Score", (), final)))


CERTIFICATES = {
    "passed": {"passed": False},
    "track": {"track": "B"},
    "profile": {"profile": "table"},
    "b did not pass": {"probes": [{"letter": letter, "passed": letter != "b"} for letter in "abcdefg"]},
    "f, g did not pass": {"probes": [{"letter": letter, "passed": True} for letter in "abcde"]},
}


@pytest.mark.parametrize("told", CERTIFICATES)
def test_a_claimed_certificate_that_is_not_the_one_found_is_named(record, told):
    claim = road._claim(record)
    probes = tuple(ProbeResult(letter, "", True, {}, "", 0.0) for letter in "abcdefg")
    found = Certificate(probes, "raw", "A", "landlock", "counted script")
    assert list(road._certificate_problems(claim, found)) == []
    changed = {**claim, "certificate": claim["certificate"] | CERTIFICATES[told]}
    (problem,) = road._certificate_problems(changed, found)
    assert told in problem


def test_claimed_seconds_are_held_against_the_budget(record, claim_of):
    claim, cfg = road._claim(record), road._settings(record, None, None)
    assert list(road._time_problems(claim, cfg)) == []
    late = {"final": claim["scores"]["final"] | {"seconds": 201.0}}
    (problem,) = road._time_problems({**claim, "scores": late}, cfg)
    assert problem == "eval_seconds: 201.0 s are claimed, 200 allowed"
    by_clock = {**cfg, "budget": cfg["budget"] | {"train_steps": None, "train_seconds": 4.0}}
    (problem,) = road._time_problems(claim, by_clock)
    assert "train_seconds: 5.0 s are claimed" in problem
    assert list(road._time_problems({**claim, "ledger": {}}, by_clock)) == []  # its weights are another run's


def test_half_a_result_is_refused_in_words(claim_of, capsys):
    assert main(["verify", str(claim_of(certificate={"passed": True, "isolation": "", "probes": [5]}))]) == 2
    assert "certificate.probes holds what is no probe" in capsys.readouterr().err


def test_a_score_that_came_too_late_here_is_a_code_length_and_ends_with_three(
    record, texts, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(stages, "over_time", lambda cfg, score: "evaluation took 201 s of 200 allowed")
    assert main(["verify", str(record), str(texts), "--cache-dir", str(tmp_path)]) == 3
    out = " ".join(capsys.readouterr().out.split())
    assert "stands as a code length, and was over time here" in out


def test_a_text_under_another_name_does_not_stand(claim_of, texts, tmp_path, capsys):
    folder = claim_of()
    config = (folder / "config.yaml").read_text()
    assert "  data: tiny\n" in config
    (folder / "config.yaml").write_text(config.replace("  data: tiny\n", "  data: sotu\n"))
    assert main(["verify", str(folder), str(texts), "--cache-dir", str(tmp_path)]) == 4
    assert "choices.data: sotu is chosen by name" in " ".join(capsys.readouterr().out.split())


def test_a_method_may_be_named_by_its_eval_option_alone_as_older_records_do(record):
    claim = road._claim(record)
    final = claim["scores"]["final"]
    score = type("Score", (), {**final, "method": "sliding+backoff+bucketed"})
    for claimed, stands in (("sliding+backoff+bucketed", True), ("sliding", True), ("streaming", False)):
        found = list(road._score_problems({"scores": {"final": {**final, "method": claimed}}}, score))
        assert bool(found) != stands and all(problem.startswith("final.method: ") for problem in found)


def test_a_claim_that_is_false_ends_with_four(claim_of, texts, tmp_path, capsys, monkeypatch):
    folder = claim_of(scores__final__val_bpb=0.9)
    monkeypatch.setattr(stages, "PROFILES", {"smoke": stages.PROFILES["smoke"]})
    assert main(["verify", str(folder), str(texts), "--cache-dir", str(tmp_path)]) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert "the claim does not stand" in out and "0.900000 is claimed" in out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scores__final__valid": False}, "claims no valid final score"),
        ({"scores__final": None}, "claims no valid final score"),
        ({"status": "sleeping"}, "sleeping"),
        ({"scores__final__val_bpb": None}, "claims no number: val_bpb is None"),
    ],
)
def test_a_folder_that_claims_nothing_is_not_judged(claim_of, capsys, change, told):
    assert main(["verify", str(claim_of(**change))]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["result.json", "config.yaml", "artifact.pgolf", "train_gpt.py"])
def test_a_folder_with_a_part_missing_is_not_judged(claim_of, capsys, name):
    folder = claim_of()
    (folder / name).unlink()
    assert main(["verify", str(folder)]) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize("budget", [None, {}, {"name": "smoke"}, "smoke"])
def test_settings_without_a_budget_are_refused_by_name(claim_of, capsys, budget):
    folder = claim_of()
    cfg = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(cfg | {"budget": budget}))
    assert main(["verify", str(folder)]) == 2 and "budget" in capsys.readouterr().err


def test_settings_of_another_version_are_refused_by_name(claim_of, capsys):
    folder = claim_of()
    config = (folder / "config.yaml").read_text().replace("certify: smoke\n", "")
    (folder / "config.yaml").write_text(config)
    assert main(["verify", str(folder)]) == 2 and "another version of pgolf wrote it" in capsys.readouterr().err


def test_less_proof_than_the_records_own_is_refused(claim_of, capsys):
    folder = claim_of()
    config = (folder / "config.yaml").read_text().replace("certify: smoke", "certify: laptop")
    (folder / "config.yaml").write_text(config)
    assert main(["verify", str(folder), "--certify", "smoke"]) == 2
    assert "proves less than laptop" in capsys.readouterr().err


def test_a_claim_for_all_of_validation_is_held_to_the_proof_of_its_budget(claim_of, capsys):
    """Whatever its own config says was proved."""
    folder = claim_of()
    config = (folder / "config.yaml").read_text().replace("name: smoke", "name: official")
    for line in (f"subset_tokens: {TOKENS}", "subset_tokens: null"), ("certify: smoke", "certify: laptop"):
        config = config.replace(*line)
    (folder / "config.yaml").write_text(config)
    assert road._settings(folder, None, None)["certify"] == "standard"
    assert "certify is laptop here, standard in budget=official" in road.budget_differences(
        road._settings(folder, None, None)["budget"]
    )
    assert main(["verify", str(folder), "--certify", "laptop"]) == 2
    assert "proves less than standard" in capsys.readouterr().err


def test_how_a_run_was_trained_by_another_version_is_not_judged(claim_of):
    folder = claim_of()
    config = (folder / "config.yaml").read_text()
    assert "pgolf.optimizer.muon_adamw" in config
    (folder / "config.yaml").write_text(config.replace("pgolf.optimizer.muon_adamw", "pgolf.optimizer.of_old"))
    assert road._settings(folder, None, None)["budget"]["name"] == "smoke"
    (folder / "config.yaml").write_text(config.replace("pgolf.data.tiny", "pgolf.data.of_old"))
    with pytest.raises(ConfigError, match="data"):
        road._settings(folder, None, None)
