"""The words of eval.py: the artifact's own numbers stay, and everything wrong is said at once."""

from pathlib import Path

import pytest

from pgolf.config.eval_words import evaluation_nodes, overrides_of, read_several, read_words
from pgolf.core.errors import ConfigError
from pgolf.track.folder import RunFolder
from tests.proof.making import eval_node

HEADER = {
    "eval": eval_node(window=32, stride=8, batch_windows=4),
    "ttt": {"_target_": "pgolf.ttt.none.NoAdaptation"},
    "ngram": {"_target_": "pgolf.ngram.none.NoNGram"},
    "mixer": {"_target_": "pgolf.mixer.none.Single"},
}


def overrides(tmp_path, *words):
    return overrides_of(read_words([f"artifact={tmp_path / 'a.pgolf'}", *words]), HEADER)


def problems(tmp_path, *words):
    with pytest.raises(ConfigError) as caught:
        overrides(tmp_path, *words)
    return caught.value.problems


def test_words_about_the_text_override_nothing(tmp_path):
    assert overrides(tmp_path, "data=tiny", "budget=smoke", "size=record") == {}


def test_loggers_are_there_where_they_are_asked_for_and_are_checked(tmp_path):
    artifact = f"artifact={tmp_path / 'a.pgolf'}"
    assert read_words([artifact]).loggers == {}
    words = read_words([artifact, "logger=[wandb]", "logger.wandb.project=golf"])
    assert words.loggers.keys() == {"wandb"} and words.loggers["wandb"]["project"] == "golf"
    assert overrides_of(words, HEADER) == {}
    (problem,) = problems(tmp_path, "logger=[wandb]", "logger.wandb.project=a:b")
    assert problem.startswith("logger.wandb.project: 'a:b' is out of range: 1 to 128 printable characters")


def test_a_group_chosen_whole_keeps_the_artifacts_lengths(tmp_path):
    node = overrides(tmp_path, "eval=non_overlapping")["eval"]
    assert node["_target_"] == "pgolf.eval.non_overlapping.NonOverlapping"
    assert (node["window"], node["batch_windows"]) == (32, 4)
    assert "stride" not in node and node["official_truncation"] is False


def test_the_same_method_chosen_again_overrides_nothing(tmp_path):
    assert overrides(tmp_path, "eval=sliding") == {}


def test_the_command_line_goes_before_the_artifact(tmp_path):
    assert overrides(tmp_path, "eval=sliding", "eval.stride=16") == {"eval": HEADER["eval"] | {"stride": 16}}
    node = overrides(tmp_path, "eval=non_overlapping", "eval.window=64")["eval"]
    assert node["window"] == 64


def test_a_technique_within_another_is_chosen_and_changed_like_any(tmp_path):
    chosen = [
        "ngram=backoff",
        "mixer=sse",
        "mixer@mixer.of=bucketed",
        "mixer.of.rate=0.3",
        "mixer.of.edges.order=[2,3]",
    ]
    within = overrides(tmp_path, *chosen)["mixer"]["of"]
    assert within["_target_"] == "pgolf.mixer.bucketed.Bucketed"
    assert (within["rate"], within["edges"]["order"]) == (0.3, [2, 3])
    (unknown,) = problems(tmp_path, *chosen, "+mixer.of.speed=2")
    assert unknown == "mixer.of.speed: Bucketed takes edges, rate, initial_share."


def test_of_an_experiment_the_evaluation_is_taken_whole_and_words_go_before_it(tmp_path):
    nodes = overrides(tmp_path, "experiment=pr1026_eval", "mixer.share=0.3", "size=tiny")
    assert {name: node["_target_"].rpartition(".")[2] for name, node in nodes.items()} == {
        "ngram": "StrictBackoff",
        "mixer": "PublishedSurprise",
    }  # ttt is the artifact's, and so are the windows
    assert nodes["mixer"]["share"] == 0.3 and nodes["ngram"]["max_order"] == 7
    assert list(overrides(tmp_path, "experiment=pr1026_eval", "ngram=none")) == ["mixer"]


def test_of_a_whole_recipe_the_evaluation_alone_is_taken_at_the_sizes_of_the_words(tmp_path):
    for name in ("pr187", "pr687_valid", "pr1026", "pr1855"):
        base = name.removesuffix("_valid")
        of_it, alone = name, name.replace(base, f"{base}_eval")
        assert overrides(tmp_path, f"experiment={of_it}") == overrides(tmp_path, f"experiment={alone}")
        words = [f"artifact={tmp_path / 'a.pgolf'}", f"experiment={of_it}"]
        settings = read_words(words).settings
        assert settings["data"]["_target_"] == "pgolf.data.sotu.Sotu" and settings["budget"]["name"] == "laptop"
        assert read_words([*words, "size=tiny", "data=tiny"]).settings["size"]["name"] == "tiny"


def test_several_values_are_read_one_by_one_each_with_a_certificate_of_its_own(tmp_path):
    words = [
        f"artifact={tmp_path / 'a.pgolf'}",
        "ngram=backoff",
        "ttt=sgd,none",
        "mixer.rate=0.1,0.2",
        "mixer=bucketed",
    ]
    found = read_several([*words, "-m"])
    assert list(found) == [f"ttt={ttt} mixer.rate={rate}" for ttt in ("sgd", "none") for rate in ("0.1", "0.2")]
    assert [read.out.name for read in found.values()][1] == "certificate.eval.ttt=sgd_mixer.rate=0.2.json"
    assert [read.settings["mixer"]["rate"] for read in found.values()] == [0.1, 0.2] * 2
    (alone,) = read_several([words[0], "-m"]).values()
    assert alone.out.name == "certificate.eval.json"
    with pytest.raises(ConfigError, match="no 'sdg' in conf/ttt"):
        read_several([words[0], "ttt=sgd,sdg", "-m"])


def test_everything_wrong_is_said_at_once(tmp_path):
    words = [
        "eval=sliding",
        "eval.stride=abc",
        "eval.window=0",
        "data=tiny",
        "data.document_count=x",
        "budget.eval_seconds=-1",
    ]
    found = problems(tmp_path, *words, "budget.subset_tokens=1", f"out={tmp_path}/none/c.json")
    assert {problem.partition(":")[0] for problem in found} == {
        "eval.stride",
        "eval.window",
        "data.document_count",
        "budget.eval_seconds",
        "budget.subset_tokens",
        "out",
    }


def test_a_stride_of_zero_is_out_of_range(tmp_path):
    assert problems(tmp_path, "eval=sliding", "eval.stride=0") == ("eval.stride: 0 is out of range: at least 1",)


def test_a_key_that_the_artifact_lacks_or_that_is_taken_away_is_an_error(tmp_path):
    (unknown,) = problems(tmp_path, "+eval.speed=2")
    assert "the artifact's eval takes window, stride" in unknown
    (gone,) = problems(tmp_path, "~eval.window")
    assert gone == "eval.window: can be changed, not taken away"


@pytest.mark.parametrize("name", ["a=b[1].pgolf", "two words.pgolf", "a,b$(c).pgolf", "~x.pgolf"])
def test_the_artifacts_name_is_taken_as_it_is_typed_or_quoted(name):
    for typed in (name, f'"{name}"'):
        found = read_words([f"artifact=runs/{typed}" if typed == name else f'artifact="runs/{name}"'])
        assert found.artifact.as_posix() == f"runs/{name}"


def test_artifact_and_out_may_start_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    found = read_words(["artifact=~/a.pgolf", "out=~/c.json"])
    assert (str(found.artifact), str(found.out)) == ("/somewhere/a.pgolf", "/somewhere/c.json")


def test_a_list_where_one_value_is_taken_is_no_sweep(tmp_path):
    (problem,) = problems(tmp_path, "eval=sliding", "eval.stride=1,2")
    assert problem.startswith("eval.stride=1,2: several values are a sweep")


def test_a_budget_beyond_every_integer_is_out_of_range(tmp_path):
    (problem,) = problems(tmp_path, f"budget.subset_tokens={2**70}")
    assert "budget.subset_tokens" in problem and "out of range" in problem


def test_the_keys_that_the_size_gives_are_known():
    scaled = read_words(["artifact=a.pgolf", "eval=sliding"]).scaled
    assert scaled["eval"] == ("window", "stride", "batch_windows") and scaled["ttt"] == ()


def test_the_certificate_goes_beside_the_artifact_or_where_out_says(tmp_path):
    assert read_words(["artifact=runs/x/a.pgolf"]).out.as_posix() == "runs/x/certificate.eval.json"
    assert problems(tmp_path, f"out={tmp_path}") == (f"out: {tmp_path} is a folder; name a file in it",)


def test_the_certificate_is_written_over_no_file_of_the_run(tmp_path):
    with RunFolder.open(tmp_path, "run", 1) as folder:
        (artifact := folder.path / "a.pgolf").write_bytes(b"artifact")
        files = [file for file in vars(folder).values() if isinstance(file, Path) and file != folder.path]
        assert len(files) == 10
        for file in files:
            file.write_text("of the run")
            with pytest.raises(ConfigError, match=f"out: {file} is {file.name} of the artifact's run, which a cert"):
                overrides_of(read_words([f"artifact={artifact}", f"out={file}"]), HEADER)
        (folder.path / "link").symlink_to(artifact)
        for name in (artifact, folder.path / "link"):
            with pytest.raises(ConfigError, match=f"out: {name} is the artifact itself"):
                overrides_of(read_words([f"artifact={artifact}", f"out={name}"]), HEADER)
        (mine := folder.path / "second.json").write_text("an earlier evaluation")
        assert overrides_of(read_words([f"artifact={artifact}", f"out={mine}"]), HEADER) == {}


@pytest.mark.parametrize(
    ("word", "said"),
    [("evl.window=2", "Did you mean 'eval'?"), ("size=tiny", "size=tiny: fixed by the artifact; its eval, ttt, ")],
)
def test_a_word_that_is_not_about_evaluation_is_fixed_or_told_what_it_may_have_meant(word, said):
    with pytest.raises(ConfigError) as caught:
        evaluation_nodes([word], {})
    assert said in str(caught.value)
