from pgolf.run.model_report import print_model
from tests.helpers import tiny_settings

TOGETHER = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


def test_of_several_processes_the_first_alone_prints_the_model(monkeypatch, capsys):
    cfg, printed = tiny_settings("print_model=true"), []
    for rank in "01":
        for name, value in {**TOGETHER, "RANK": rank, "LOCAL_RANK": rank}.items():
            monkeypatch.setenv(name, value)
        print_model(cfg)
        printed.append(capsys.readouterr().out)
    assert "embedding" in printed[0] and printed[1] == ""
