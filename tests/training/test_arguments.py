"""The command line and recipes."""

import json
from pathlib import Path

import pytest

from training.__main__ import main
from training.arguments import parse_args
from training.errors import TrainingError

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def recipe(folder: Path, content: object) -> str:
    """Writes a recipe and returns its path."""
    path = folder / "recipe.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_command_line_overrides_the_recipe(tmp_path: Path) -> None:
    """Everything else stays as the recipe has it, lists and separators included."""
    path = recipe(
        tmp_path,
        {"train_file": "a.csv", "label_columns": ["x", "y"], "delimiter": ";", "learning_rate": 1e-3, "max_length": 99},
    )
    found = parse_args([path, "--max_length", "64", "--output_dir", str(tmp_path / "out")])
    assert (found.data.train_file, found.data.label_columns, found.data.delimiter) == ("a.csv", ["x", "y"], ";")
    assert found.encoder.max_length == 64
    assert found.training.learning_rate == 1e-3


def test_recipe_of_every_json_type(tmp_path: Path) -> None:
    """Null and [] mean "as by default", an object and a boolean arrive as what they are."""
    content = {
        "delimiter": None,
        "cleaning": [],
        "lr_scheduler_kwargs": {"num_cycles": 2},
        "load_best_model_at_end": False,
    }
    found = parse_args([recipe(tmp_path, content), "--output_dir", str(tmp_path / "out")])
    assert (found.data.delimiter, found.data.cleaning) == (None, [])
    assert found.training.lr_scheduler_kwargs == {"num_cycles": 2}
    assert found.training.load_best_model_at_end is False


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_recipes_parse(path: Path, tmp_path: Path) -> None:
    """Each recipe is complete but for the output folder."""
    data = parse_args([str(path), "--output_dir", str(tmp_path / "out")]).data
    assert data.dataset or data.label_columns


def test_values_of_a_recipe_are_no_options(tmp_path: Path) -> None:
    """Whatever they begin with."""
    found = parse_args([recipe(tmp_path, {"label_separator": "-"}), "--output_dir", str(tmp_path / "out")])
    assert found.data.label_separator == "-"


def test_path_that_is_not_utf8(tmp_path: Path) -> None:
    """No report could name it, which is better known before the training."""
    with pytest.raises(TrainingError, match="not UTF-8; rename the file"):
        parse_args(["--train_file", "a\udcff.csv", "--output_dir", str(tmp_path)])


def test_typo_in_a_recipe(tmp_path: Path) -> None:
    """An unknown field is an error, not silently ignored."""
    with pytest.raises(TrainingError, match="learning_rat"):
        parse_args([recipe(tmp_path, {"learning_rat": 1}), "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ("[" * 150_000, "is not JSON"),
        ("[1]", "expected a JSON object, found list"),
        (None, "No such file"),
        (
            '{"label_columns": ["label", "--show_text"]}',
            "label_columns: found what the command line takes for an option",
        ),
        ('{"label_separator": "--"}', "label_separator: found what"),
    ],
)
def test_unusable_recipe(tmp_path: Path, content: str | None, expected: str) -> None:
    """Missing, not JSON, or no object."""
    path = tmp_path / "recipe.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TrainingError, match=expected):
        parse_args([str(path), "--output_dir", str(tmp_path / "out")])


def test_output_folder_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is overwritten; one line, exit status 1."""
    (tmp_path / "keep.txt").write_text("x")
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path)]) == 1
    assert "is not empty; choose a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No stack trace, exit status 1."""
    argv = [
        "--train_file",
        "absent.csv",
        "--text_columns",
        "t",
        "--label_columns",
        "l",
        "--output_dir",
        str(tmp_path / "o"),
    ]
    assert main(argv) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: no file absent.csv; check the path"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--per_device_train_batch_size", "0"),
        ("--gradient_accumulation_steps", "0"),
        ("--learning_rate", "-1"),
        ("--learning_rate", "nan"),
        ("--seed", "-1"),
        ("--data_seed", "4294967296"),
        ("--resume_from_checkpoint", "absent"),
        ("--save_strategy", "no"),
        ("--loss", "hinge"),
        ("--class_weights", "heavy"),
        ("--focal_gamma", "-1"),
        ("--attention_dropout", "1"),
        ("--target_precision", "1.5"),
        ("--early_stopping_patience", "0"),
        ("--distillation_weight", "2"),
        ("--distillation_temperature", "0"),
        ("--student_layers", "3"),
        ("--seeds", "0"),
        ("--seeds", "4294967296"),
        ("--label_smoothing_factor", "1"),
        ("--num_train_epochs", "0"),
        ("--prediction_loss_only", "true"),
        ("--eval_do_concat_batches", "false"),
        ("--dataloader_drop_last", "true"),
        ("--label_names", "foo"),
    ],
)
def test_wrong_numbers_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, value: str
) -> None:
    """Before anything is read or trained, and the argument is named."""
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path / "out"), argument, value]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert argument.removeprefix("--") in error.replace(" ", "_").lower()


def test_best_checkpoint_is_saved(tmp_path: Path) -> None:
    """Evaluating more often than saving would keep another one than the best."""
    arguments = ["--output_dir", str(tmp_path / "out"), "--eval_strategy", "steps", "--save_strategy", "steps"]
    with pytest.raises(TrainingError, match="--save_steps: expected 20 as --eval_steps"):
        parse_args([*arguments, "--eval_steps", "20", "--save_steps", "40"])
    assert parse_args([*arguments, "--eval_steps", "20", "--save_steps", "20"]).training.save_steps == 20


@pytest.mark.parametrize("option", ["--label_smoothing_factor", "--target_precision"])
def test_options_of_single_label_data(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    """Multi-label data has no use for them, and they are not left aside in silence."""
    data = tmp_path / "train.csv"
    data.write_text("text,a,b\n" + "".join(f"row {index},{index % 2},1\n" for index in range(40)))
    columns = ["--text_columns", "text", "--label_columns", "a", "b"]
    assert main(["--train_file", str(data), *columns, "--output_dir", str(tmp_path / "out"), option, "0.9"]) == 1
    assert f"{option} is for single-label data" in capsys.readouterr().err


def test_output_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found before training, not after its first epoch."""
    (tmp_path / "file").write_text("x")
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path / "file/out")]) == 1
    assert "cannot write to --output_dir" in capsys.readouterr().err
