import re

import pytest

from pgolf.cli.main import main
from pgolf.core.choices import expanded
from tests.proof.making import write_artifact


def test_words_with_commas_are_all_combinations():
    assert expanded(["ngram=a,b", "mixer=c", "ngram.max_order=5,7"]) == [
        ["ngram=a", "mixer=c", "ngram.max_order=5"],
        ["ngram=a", "mixer=c", "ngram.max_order=7"],
        ["ngram=b", "mixer=c", "ngram.max_order=5"],
        ["ngram=b", "mixer=c", "ngram.max_order=7"],
    ]
    assert expanded(["ngram.betas=[1,2],[3,4]", "data.paths=[a,{b,c}]"]) == [
        ["ngram.betas=[1,2]", "data.paths=[a,{b,c}]"],
        ["ngram.betas=[3,4]", "data.paths=[a,{b,c}]"],
    ]
    assert expanded([]) == [[]]
    assert expanded(["a=1,2", "/", "b=3", "/"]) == [["a=1"], ["a=2"], ["b=3"], []]


@pytest.fixture
def artifact(tmp_path):
    return write_artifact(tmp_path / "a.pgolf")


def test_what_is_no_code_length_stands_beside_what_is_and_says_so(artifact, tmp_path, capsys):
    text = ["data=tiny", "data.document_count=10", f"cache_dir={tmp_path / 'cache'}"]
    words = ["ngram=witten_bell,hashed", "mixer=bucketed", "/", *text, "--tokens", "300"]
    assert main(["compare", str(artifact), *text, *words]) == 0
    first, _, valid, published, alone = capsys.readouterr().out.splitlines()
    assert first == "299 targets of dev"
    claimed, mean, _, renormalised = map(float, re.findall(r"[\d.]+", valid.partition("=bucketed")[2])[:4])
    assert mean == 1 and claimed == renormalised and "no code length" not in valid
    assert "ngram=hashed" in published and "no code length" not in alone


def test_text_that_is_skipped_to_its_end_is_an_error(artifact, tmp_path, capsys):
    text = ["data=tiny", "data.document_count=10", f"cache_dir={tmp_path / 'cache'}"]
    assert main(["compare", str(artifact), *text, "--skip", "10000000"]) == 2
    assert "--skip: 10,000,000 leaves nothing of dev" in capsys.readouterr().err


def test_several_texts_cannot_be_compared(artifact, tmp_path, capsys):
    assert main(["compare", str(artifact), "data=tiny", "data.document_count=10,20"]) == 2
    assert "data: one text for all settings that are compared" in capsys.readouterr().err


def test_chunks_again_are_those_of_a_second_pass(capsys):
    assert main(["compare", "a.pgolf", "--again", "15"]) == 2
    assert "--again: chunks are scored again by --two-pass alone" in capsys.readouterr().err
