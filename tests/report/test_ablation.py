"""Differences to a base, with intervals, and beside them what was published."""

from dataclasses import replace

import pytest

from pgolf.config.saved import differences
from pgolf.core.errors import ConfigError, RunError
from pgolf.report import ablation as ablation_module
from pgolf.report.ablation import PublishedRow, ablation_table, base_of, read_published
from pgolf.report.experiments import experiments
from pgolf.report.gather import gather
from tests.report.making import config, write_seeds

MLP = {"choices__arch_of_mlp": "swiglu", "arch__mlp": {"_target_": "pgolf.arch.mlp.swiglu.SwiGLU"}}


@pytest.fixture
def three(tmp_path):
    write_seeds(tmp_path, "a", [1.26, 1.27, 1.28], cfg=config(**MLP))
    write_seeds(tmp_path, "b", [1.20, 1.21, 1.22])
    write_seeds(tmp_path, "c", [1.19, 1.21, 1.23], cfg=config(optimizer__matrix_lr=0.03))
    found = gather([tmp_path])
    return experiments(found.entries), found.configs


def row_of(table, change):
    (row,) = [row for row in table.rows if row[0] == change]
    return dict(zip(table.header, row, strict=True))


def test_changes_are_named_by_their_words_and_only_shown_where_the_interval_misses_zero(three):
    found, configs = three
    table = ablation_table(found, base_of(found, configs, ""), configs)
    assert table.rows[0][0] == "(base) b"
    mlp, rate = row_of(table, "arch/mlp=swiglu"), row_of(table, "optimizer.matrix_lr=0.03")
    assert mlp["difference"] == "+0.06000" and mlp["shown"] == "worse"
    assert rate["difference"] == "+0.00000" and rate["shown"] == "not shown"
    low, high = (float(end) for end in rate["95 % interval"].split(" … "))
    assert low < 0 < high


def test_the_base_of_many_is_found_without_holding_all_against_all(three, monkeypatch):
    found, configs = three
    (base,) = [one for one in found if one.name == "b"]
    rates = {f"{step:02d}": config(optimizer__matrix_lr=step) for step in range(1, 200)}
    many = [base, *(replace(base, name=name, key=name) for name in rates)]
    asked = []
    monkeypatch.setattr(ablation_module, "differences", lambda a, b: asked.append(a) or differences(a, b))
    assert base_of(many, {**configs, **rates}, "") in many
    assert 0 < len(asked) <= 25 * len(many)


def test_the_base_can_be_named_by_name_or_words(three):
    found, configs = three
    assert base_of(found, configs, "c").name == "c"
    assert base_of(found, configs, "arch/mlp=swiglu").name == "a"
    assert base_of(found, configs, "optimizer.matrix_lr=3e-2 mixer=none").name == "c"
    for wanted in ("nobody", "mixer=none"):
        with pytest.raises(RunError, match="--base"):
            base_of(found, configs, wanted)
    with pytest.raises(ConfigError):
        base_of(found, configs, "=1")


def test_published_directions_stand_beside_ours(three):
    found, configs = three
    rows = [
        PublishedRow((), 1.4199, "#1026"),
        PublishedRow(("arch/mlp=swiglu",), 1.4659, "#1026"),
        PublishedRow(("optimizer.matrix_lr=0.030",), 1.39, "#1026"),
    ]
    table = ablation_table(found, base_of(found, configs, "b"), configs, rows)
    mlp, rate = row_of(table, "arch/mlp=swiglu"), row_of(table, "optimizer.matrix_lr=0.03")
    assert (mlp["published"], mlp["direction"]) == ("+0.0460", "the same")
    assert (rate["published"], rate["direction"]) == ("-0.0299", "ours not shown")
    rows[1] = PublishedRow(("arch/mlp=swiglu",), 1.40, "#1026")
    assert row_of(ablation_table(found, found[1], configs, rows), "arch/mlp=swiglu")["direction"] == "the opposite"


def test_too_few_seeds_and_other_texts_show_nothing(tmp_path):
    write_seeds(tmp_path, "a", [1.20, 1.21, 1.22])
    write_seeds(tmp_path, "b", [0.50, 0.51], cfg=config(**MLP))
    write_seeds(tmp_path, "c", [0.5, 0.51, 0.52], cfg=config(optimizer__matrix_lr=0.1), bytes=9)
    found = gather([tmp_path])
    made = experiments(found.entries)
    table = ablation_table(made, made[0], found.configs)
    few, other = row_of(table, "arch/mlp=swiglu"), row_of(table, "optimizer.matrix_lr=0.1")
    assert few["shown"] == "not shown: 2 seeds" and few["difference"] == "-0.70500" and not few["95 % interval"]
    assert other["shown"] == "not shown: other text" and not other["difference"]


def test_a_published_table_is_read_or_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("# where it is from\nwords,val_bpb,source\n,1.42,#1026\narch/mlp=swiglu a=1,1.46,#1026\n")
    assert read_published(path) == [
        PublishedRow((), 1.42, "#1026"),
        PublishedRow(("arch/mlp=swiglu", "a=1"), 1.46, "#1026"),
    ]
    for text in (
        "",
        "a,b\n1,2\n",
        "words,val_bpb,source\nx=1,low,\n",
        "words,val_bpb,source\nbase,1.2,\n",
        "words,val_bpb,source\nx=1\n",
    ):
        path.write_text(text)
        with pytest.raises(RunError, match=r"rows\.csv"):
            read_published(path)
    with pytest.raises(RunError):
        read_published(tmp_path / "missing.csv")
