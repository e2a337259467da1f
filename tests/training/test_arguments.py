"""The command line and recipes."""

import json
from pathlib import Path

import pytest

from training.__main__ import main
from training.arguments import parse_args
from training.errors import TrainingError
from training.model.fine_tuning import ClassifierTrainer

from .runs import train

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def recipe(folder: Path, content: object) -> str:
    """Writes a recipe and returns its path."""
    path = folder / "recipe.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_command_line_overrides_the_recipe(tmp_path: Path) -> None:
    """The command line overrides the recipe, and everything else is as in the recipe."""
    path = recipe(
        tmp_path,
        {"train_file": "a.csv", "label_columns": ["x", "y"], "delimiter": ";", "learning_rate": 1e-3, "max_length": 99},
    )
    found = parse_args([path, "--max_length", "64", "--output_dir", str(tmp_path / "out")])
    assert (found.data.train_file, found.data.label_columns, found.data.delimiter) == ("a.csv", ["x", "y"], ";")
    assert found.encoder.max_length == 64
    assert found.training.learning_rate == 1e-3


def test_recipe_of_every_json_type(tmp_path: Path) -> None:
    """In a recipe null and [] mean the default; objects and booleans keep their type."""
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
    """Each shipped recipe needs no option but the output folder."""
    data = parse_args([str(path), "--output_dir", str(tmp_path / "out")]).data
    assert data.dataset or data.label_columns


def test_values_of_a_recipe_are_no_options(tmp_path: Path) -> None:
    """A value in a recipe may start with a hyphen."""
    found = parse_args([recipe(tmp_path, {"label_separator": "-"}), "--output_dir", str(tmp_path / "out")])
    assert found.data.label_separator == "-"


def test_path_that_is_not_utf8(tmp_path: Path) -> None:
    """A path that is not UTF-8 is rejected before the training."""
    with pytest.raises(TrainingError, match="not UTF-8; rename the file"):
        parse_args(["--train_file", "a\udcff.csv", "--output_dir", str(tmp_path)])


def test_typo_in_a_recipe(tmp_path: Path) -> None:
    """An unknown field of a recipe is an error."""
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
    """A recipe that is missing, not JSON, or not an object is a one-line error."""
    path = tmp_path / "recipe.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TrainingError, match=expected):
        parse_args([str(path), "--output_dir", str(tmp_path / "out")])


def test_output_folder_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with other files is rejected with exit status 1, and nothing is overwritten."""
    (tmp_path / "keep.txt").write_text("x")
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path)]) == 1
    assert "is not empty; choose a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is a one-line error with exit status 1."""
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
        ("--dropout", "1"),
        ("--dropout", "nan"),
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
    """An invalid value is rejected before anything is read or trained, and the error names the argument."""
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path / "out"), argument, value]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert argument.removeprefix("--") in error.replace(" ", "_").lower()


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("--accelerator_config", '{"x": 1}', "unexpected keyword argument 'x'; see python -m training --help"),
        ("--accelerator_config", "absent.json", "absent.json"),
        (
            "--accelerator_config",
            '{"x"',
            "an option's value starts like a JSON object but is not valid JSON: Expecting",
        ),
        ("--fsdp", "x", "Unknown `fsdp` option: x; see python -m training --help"),
        ("--deepspeed", '{"zero_optimization": 1}', "see python -m training --help"),
        ("--lr_scheduler_kwargs", "5", "--lr_scheduler_kwargs: expected a JSON object, found '5'"),
        ("--report_to", "mlflow", "--report_to: 'mlflow' is not installed; expected none or "),
        ("--optim_args", "x", "--optim_args: expected name=value, with commas between, found 'x'"),
    ],
)
def test_what_transformers_stumbles_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, value: str, expected: str
) -> None:
    """A value that transformers fails on is a one-line error, whatever the type of the exception."""
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path / "out"), f"{argument}={value}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert expected in line


@pytest.mark.parametrize("error", [TypeError("a\nb"), KeyError("x"), AttributeError(), AssertionError("c")])
def test_training_that_transformers_stops(
    encoder: Path,
    easy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    """An exception during the training is a one-line error."""

    def stumble(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ClassifierTrainer, "train", stumble)
    assert train(encoder, easy, tmp_path / "out", "--label_columns", "label", "--no_head_start") == 1
    text = " ".join(str(error).split())
    assert capsys.readouterr().err.splitlines()[-1] == f"error: the training stopped: {type(error).__name__}: {text}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", (True, True, False)),
        ("--fp16 true", (True, False, True)),
        ("--fp16", (True, False, True)),
        ("--bf16 false", (True, False, False)),
        ("--fp16 false", (True, True, False)),
        ("--fp16 true --bf16 false", (True, False, True)),
        ("--use_cpu false", (False, False, False)),
        ("--use_cpu true", (True, True, False)),
        ("--use_cpu false --fp16 true", (False, False, True)),
    ],
)
@pytest.mark.parametrize("where", ["command line", "recipe"])
def test_precision_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, expected: tuple[bool, bool, bool], where: str
) -> None:
    """Precision and device that are passed take precedence over the automatic choice."""
    monkeypatch.setattr("training.arguments.groups._cpu_has_bf16", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = options.split()
    if where == "recipe":
        names = [word.removeprefix("--") for word in words if word.startswith("--")]
        values = [words[index + 1 : index + 2] != ["false"] for index, word in enumerate(words) if word[:2] == "--"]
        words = [recipe(tmp_path, dict(zip(names, values, strict=True)))]
    found = parse_args([*words, "--output_dir", str(tmp_path / "out")]).training
    assert (found.use_cpu, found.bf16, found.fp16) == expected


def test_bf16_and_fp16_both_asked_for(tmp_path: Path) -> None:
    """--bf16 and --fp16 exclude each other."""
    with pytest.raises(TrainingError, match="At most one of fp16 and bf16"):
        parse_args(["--output_dir", str(tmp_path / "out"), "--bf16", "true", "--fp16", "true"])


def test_help_has_our_options_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has our options first, in groups with titles, then those of transformers."""
    with pytest.raises(SystemExit):
        parse_args(["--help"])
    page = capsys.readouterr().out
    titles = ["data:", "encoder:", "method and report:", "training:"]
    titles.append("other options of transformers' TrainingArguments:")
    places = [page.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)
    for option in ("--output_dir", "--learning_rate", "--bf16", "--use_cpu", "--no_load_best_model_at_end"):
        assert places[3] < page.index(f"\n  {option}") < places[4]
    assert page.index("\n  --weight_decay") > places[4]
    assert page.startswith("usage: python -m training [RECIPE.json] [options] --output_dir FOLDER\n")


def test_best_checkpoint_is_saved(tmp_path: Path) -> None:
    """Evaluating more often than saving is rejected, as the best checkpoint might not be saved."""
    arguments = ["--output_dir", str(tmp_path / "out"), "--eval_strategy", "steps", "--save_strategy", "steps"]
    with pytest.raises(TrainingError, match="--save_steps: expected 20 as --eval_steps"):
        parse_args([*arguments, "--eval_steps", "20", "--save_steps", "40"])
    assert parse_args([*arguments, "--eval_steps", "20", "--save_steps", "20"]).training.save_steps == 20


@pytest.mark.parametrize("option", ["--label_smoothing_factor", "--target_precision"])
def test_options_of_single_label_data(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    """Options for single-label data are rejected for multi-label data."""
    data = tmp_path / "train.csv"
    data.write_text("text,a,b\n" + "".join(f"row {index},{index % 2},1\n" for index in range(40)))
    columns = ["--text_columns", "text", "--label_columns", "a", "b"]
    assert main(["--train_file", str(data), *columns, "--output_dir", str(tmp_path / "out"), option, "0.9"]) == 1
    assert f"{option} is for single-label data" in capsys.readouterr().err


def test_output_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An output folder that cannot be written to is an error before the training."""
    (tmp_path / "file").write_text("x")
    assert main(["--dataset", "wisconsin", "--output_dir", str(tmp_path / "file/out")]) == 1
    assert "cannot write to --output_dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("save_only_model", "true"),
        ("train_sampling_strategy", "junk"),
        ("weight_decay", "nan"),
        ("max_grad_norm", "nan"),
        ("eval_accumulation_steps", "0"),
    ],
)
def test_what_transformers_takes_without_a_word(option: str, value: str) -> None:
    """Values that transformers would accept silently are rejected by name."""
    with pytest.raises(TrainingError, match=f"^--{option}: "):
        parse_args(["--train_file", "a.csv", "--output_dir", "out", f"--{option}", value])
