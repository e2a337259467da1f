"""`tune` recommends the settings that were faster in the same rounds."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.data.texts_file import TextsFile
from benchmarks.errors import BenchmarkError
from benchmarks.measurements import tuning
from benchmarks.measurements.tuning import Setting
from runtime import load
from runtime.engine.cpus import available_cpus

DEFAULT = {"provider": "cpu", "threads": 2, "profile": "latency"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of texts."""
    path = tmp_path / "texts.csv"
    path.write_text("words\n" + "".join(f"the train was late {'again ' * (n % 7)}\n" for n in range(40)))
    return path


@pytest.mark.slow
def test_tune(
    artifact: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every setting is measured in every round, and the line that is printed loads the artifact."""
    monkeypatch.setattr(tuning, "SECONDS", {"one": 0.0, "many": 0.0})
    output = tmp_path / "tune.json"
    where = ["--model", str(artifact), "--texts_file", str(file), "--text_column", "words", "--texts", "12"]
    assert main(["tune", *where, "--output", str(output)]) == 0
    report, printed = json.loads(output.read_text()), capsys.readouterr().out
    one, many = report["results"]["one"], report["results"]["many"]
    assert {(row["options"]["threads"], row["options"]["profile"]) for row in one} >= {
        (threads, profile) for threads in {1, available_cpus()} for profile in ("latency", "shared")
    }
    assert [row["options"]["batch_tokens"] for row in many] == [512, 256, 1024, 2048]
    for row in (*one, *many):
        assert row["ms_per_text"] > 0
        assert row["rounds"] == tuning.MIN_ROUNDS
    assert one[0]["speedup"] == many[0]["speedup"] == 1
    assert report["settings"]["texts"] == 12
    line = re.search(r"^    (load\(.*\))$", printed, re.MULTILINE)
    assert line is not None
    with eval(line[1], {"load": load}) as classifier:
        assert classifier.predict("late").label
    assert "train was late" not in printed + output.read_text()


def measured(threads: int, *seconds: float) -> Setting:
    """A setting with the times of its turns."""
    return Setting({**DEFAULT, "threads": threads}, list(seconds))


@pytest.mark.parametrize(
    ("others", "best"),
    [
        pytest.param([measured(1, 2.0, 2.0, 2.0)], 2, id="slower"),
        pytest.param([measured(1, 0.97, 0.97, 0.97)], 2, id="hardly faster"),
        pytest.param([measured(1, 0.5, 0.5, 2.0), measured(4, 0.8, 0.8, 0.8)], 1, id="faster in most rounds"),
        pytest.param([measured(1, 0.9, 0.9, 0.9), measured(4, 0.8, 0.8, 0.8)], 4, id="the fastest of several"),
    ],
)
def test_recommendation(others: list[Setting], best: int) -> None:
    """The default stays unless another setting is at least 5 % faster, by the median of the ratios in each round."""
    assert tuning._best([measured(2, 1.0, 1.0, 1.0), *others]).options["threads"] == best


def test_machine_that_gets_slower_does_not_decide() -> None:
    """A machine that gets slower during the measurement slows down all settings, so the default stays."""
    default, other = measured(2, 1.0, 3.0, 9.0), measured(1, 0.99, 2.97, 8.91)
    assert tuning._best([default, other]) is default


def test_settings_begin_with_the_default() -> None:
    """The default is first and comes once. The numbers of threads are powers of two and the number of CPUs."""
    settings = [dict(setting.options) for setting in tuning._settings_for_one(DEFAULT)]
    assert settings[0] == DEFAULT
    assert all(settings.count(each) == 1 for each in settings)
    counts = {each["threads"] for each in settings}
    assert counts <= {1, 2, 4, 8, 16, 32, 64, 128, available_cpus()}
    assert {1, available_cpus()} <= counts


@pytest.mark.slow
def test_setting_that_cannot_load(artifact: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no setting works here, the command fails with the reason."""
    monkeypatch.setattr(tuning, "_settings_for_one", lambda _: [Setting({**DEFAULT, "provider": "cuda"})])
    with pytest.raises(BenchmarkError, match="no setting could be measured"):
        tuning.measure(str(artifact), TextsFile(str(file), "words"), texts=3)
