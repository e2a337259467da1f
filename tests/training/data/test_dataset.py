"""Labels, texts and the split."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from runtime.text.truncation import can_backtrack, prefix_rule
from training.arguments import DataArguments, EncoderArguments, parse_args
from training.data.backtracking import FINE
from training.data.cleaning import add_cleaning, cleaned, dedup_key
from training.data.dataset import load_data
from training.decisions.metrics import label_flags
from training.errors import DataError
from training.model.encoder import load_tokenizer

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "training" / "recipes"
SHARED = ROOT.parent / "shared" / "data"


def table(folder: Path, rows: list[dict[str, Any]], name: str = "train.csv") -> str:
    """Writes rows as CSV and returns the path."""
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def single(count: int = 40) -> list[dict[str, Any]]:
    """Returns rows with one of two labels."""
    return [{"text": f"text {index}", "label": "odd" if index % 2 else "even"} for index in range(count)]


def rows_named(name: str, count: int) -> list[dict[str, Any]]:
    """Returns rows like `single`, with texts that are in no other split."""
    return [row | {"text": f"{name} {row['text']}"} for row in single(count)]


def arguments(path: str, **options: Any) -> DataArguments:
    """Returns arguments for the tables of this file."""
    defaults: dict[str, Any] = {"text_columns": ["text"], "label_columns": ["label"]}
    return DataArguments(train_file=path, **(defaults | options))


def refusal(arguments: DataArguments) -> str:
    """Returns the message of the DataError, which is one line."""
    with pytest.raises(DataError) as caught:
        load_data(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_single_label(tmp_path: Path) -> None:
    """Labels are in alphabetical order, targets are their indices, and every row is in exactly one split."""
    data = load_data(arguments(table(tmp_path, single())))
    assert (data.task, data.labels) == ("single_label", ("even", "odd"))
    assert sorted(np.concatenate([split.rows for split in data.splits.values()])) == list(range(40))
    for split in data.splits.values():
        for text, target in zip(split.texts, split.targets, strict=True):
            assert data.labels[target] == ("odd" if int(text.split()[1]) % 2 else "even")


def test_separated_labels(tmp_path: Path) -> None:
    """One column can hold several labels; a row with an empty field has none."""
    rows = [{"text": f"text {index}", "label": ("a|b", "b", "")[index % 3]} for index in range(30)]
    data = load_data(arguments(table(tmp_path, rows), label_separator="|"))
    assert (data.task, data.labels) == ("multi_label", ("a", "b"))
    expected = {0: [1, 1], 1: [0, 1], 2: [0, 0]}
    for split in data.splits.values():
        for row, target in zip(split.rows, split.targets, strict=True):
            assert target.tolist() == expected[row % 3]
            assert target.dtype == np.float32


@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("FALSE", "TRUE"), ("false", "True")])
def test_flag_columns(tmp_path: Path, no: str, yes: str) -> None:
    """Several flag columns give the labels their names, in the order of the argument."""
    rows = [{"text": f"text {index}", "z": (no, yes)[index % 2], "a": no} for index in range(30)]
    data = load_data(arguments(table(tmp_path, rows), label_columns=["z", "a"]))
    assert (data.task, data.labels) == ("multi_label", ("z", "a"))
    assert {tuple(target) for target in data.train.targets.tolist()} == {(0.0, 0.0), (1.0, 0.0)}


@pytest.mark.parametrize("separator", [None, "|"])
def test_label_order(tmp_path: Path, separator: str | None) -> None:
    """`--label_order` changes the numbers of the labels, but neither the splits nor the labels of a row."""
    rows = [
        row | {"label": ("a", "b", "c", "b" if separator is None else "a|c")[i % 4]} for i, row in enumerate(single())
    ]
    path, order = table(tmp_path, rows), ["b", "c", "a"]
    plain = load_data(arguments(path, label_separator=separator))
    data = load_data(arguments(path, label_separator=separator, label_order=order))
    assert (plain.labels, data.labels) == (("a", "b", "c"), ("b", "c", "a"))
    for name, split in data.splits.items():
        assert split.rows.tolist() == plain.splits[name].rows.tolist()
        flags = label_flags(split.targets, data.task, 3)
        for row, found in zip(split.rows, flags, strict=True):
            assert {order[index] for index in found.nonzero()[0]} == set(rows[row]["label"].split("|"))
        assert split.targets.dtype == plain.splits[name].targets.dtype


def test_label_order_of_the_embedded_data() -> None:
    """The embedded data set can have its labels in another order, too."""
    plain = load_data(DataArguments(dataset="wisconsin"))
    data = load_data(DataArguments(dataset="wisconsin", label_order=["benign", "malignant"]))
    assert (plain.labels, data.labels) == (("malignant", "benign"), ("benign", "malignant"))
    assert data.test.targets.tolist() == (1 - plain.test.targets).tolist()
    assert data.test.texts == plain.test.texts


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (["odd"], "1 missing"),
        (["odd", "even", "x", "y"], "2 unknown: 'x', 'y'"),
        (["odd", "Even"], "1 missing, 1 unknown: 'Even'"),
        (["odd", "even", "odd"], "1 named twice: 'odd'"),
    ],
)
def test_label_order_that_does_not_fit(tmp_path: Path, order: list[str], found: str) -> None:
    """An order that is not one of all labels is an error, which shows only the labels of the command line."""
    message = refusal(arguments(table(tmp_path, single()), label_order=order))
    assert message == f"--label_order: expected each of the 2 labels once, found {found}"


def test_text_columns_are_joined(tmp_path: Path) -> None:
    """Text columns are joined by one space, and empty ones are left out."""
    rows = [{"title": ("", "T")[index % 2], "body": f"b{index}", "label": "xy"[index % 2]} for index in range(30)]
    data = load_data(arguments(table(tmp_path, rows), text_columns=["title", "body"]))
    texts = dict(zip(data.train.rows.tolist(), data.train.texts, strict=True))
    assert all(text == ("T " if row % 2 else "") + f"b{row}" for row, text in texts.items())


def test_same_seed_same_split(tmp_path: Path) -> None:
    """The split depends only on the file and the seed."""
    path = table(tmp_path, single())
    first, again = load_data(arguments(path)), load_data(arguments(path))
    other = load_data(arguments(path, split_seed=7))
    assert first.test.rows.tolist() == again.test.rows.tolist() != other.test.rows.tolist()


def test_test_split_is_that_of_the_notebooks(tmp_path: Path) -> None:
    """The test split is that of `train_test_split(test_size=0.2, random_state=42, stratify=labels)`."""
    rows = single(101)
    _, expected = train_test_split(
        np.arange(101), test_size=0.2, random_state=42, stratify=[row["label"] for row in rows]
    )
    assert load_data(arguments(table(tmp_path, rows))).test.rows.tolist() == expected.tolist()


def test_a_label_of_one_row_stays_in_training(tmp_path: Path) -> None:
    """The only row of a label stays in the training split and does not stop the run."""
    rows = [*single(), {"text": "rare", "label": "rare"}]
    data = load_data(arguments(table(tmp_path, rows)))
    assert "rare" in data.train.texts
    assert len(data.labels) == 3


def test_files_for_validation_and_test(tmp_path: Path) -> None:
    """Files for validation and test are used as they are, and the training file stays whole."""
    validation = table(tmp_path, rows_named("validation", 6), "validation.csv")
    test = table(tmp_path, rows_named("test", 8), "test.csv")
    data = load_data(arguments(table(tmp_path, single()), validation_file=validation, test_file=test))
    assert [len(split.texts) for split in data.splits.values()] == [40, 6, 8]
    assert data.sha256 != load_data(arguments(table(tmp_path, single()))).sha256


def test_texts_in_two_splits_are_removed(tmp_path: Path) -> None:
    """Texts of a later split are removed from earlier ones, whatever their case; the test split stays whole."""
    test = table(tmp_path, [*single(3), {"text": "TEXT  3 ", "label": "odd"}], "test.csv")
    validation = table(tmp_path, single(6), "validation.csv")
    data = load_data(arguments(table(tmp_path, single()), validation_file=validation, test_file=test))
    assert data.removed == {"validation": 4, "train": 6}
    assert [len(split.texts) for split in data.splits.values()] == [34, 2, 4]
    assert data.train.rows.tolist() == list(range(6, 40))
    assert [data.labels[target] for target in data.train.targets[:2]] == ["even", "odd"]
    assert load_data(arguments(table(tmp_path, single()))).removed == {"validation": 0, "train": 0}


def test_texts_that_cleaning_makes_the_same_are_removed(tmp_path: Path) -> None:
    """Texts that are equal after cleaning are duplicates."""
    # ligature first, then the tag that it belongs to; upper case stays a tag for none
    test = table(tmp_path, [{"text": "Oﬃcer: text 3", "label": "odd"}, *rows_named("OFFICER:", 1)], "test.csv")
    path, cleaning = table(tmp_path, single()), ["nfkc", r"drop:\bOfficer:"]
    assert load_data(arguments(path, test_file=test)).removed == {"validation": 0, "train": 0}
    removed = load_data(arguments(path, test_file=test, cleaning=cleaning)).removed
    assert sum(removed.values()) == 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("drop:.*text 4$", "row 5: --cleaning removes the whole text; drop the row or the step"),
        ("drop:(a+)+$", "row 41: a step of --cleaning fails on its text; simplify the step"),
        ("drop:(?=text 7)", "row 8: a step of --cleaning fails on its text; simplify the step"),
    ],
)
def test_cleaning_that_does_not_suit_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], step: str, expected: str
) -> None:
    """A step that fails on a text, or removes all of it, is an error with the row and without a panic message."""
    monkeypatch.setattr("training.data.cleaning._tried", lambda _: FINE)
    rows = [*single(), {"text": f"{'a' * 5000}b", "label": "odd"}]
    assert refusal(arguments(table(tmp_path, rows), cleaning=[step])) == f"train.csv: {expected}"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            r"drop:(\w+\s?)+:",
            "takes too long on some texts, because it can match the same characters in many ways; put no",
        ),
        ("drop:(?=text 7)", "also matches the empty text; make it match something"),
    ],
)
def test_cleaning_that_does_not_suit_some_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], step: str, expected: str
) -> None:
    """A cleaning step that can fail on some text is rejected, whatever the rows are, and no panic is printed."""
    assert refusal(arguments(table(tmp_path, single(10)), cleaning=[step])).startswith(
        f"cleaning step {step!r} {expected}"
    )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Doctor: Hi.\nGuest_family_2: Yes.", "hi. yes."),
        ("Doctor_2: Hi.\nGuest_family2: Yes.\nGuest_clinician: No.", "hi. yes. no."),
        ("I see that Doctor- \nPatient: Yes.", "i see that yes."),
        ("a doctor-patient talk, patient-reported", "a doctor-patient talk, patient-reported"),
        ("outpatient: the doctor and patients: 2", "outpatient: the doctor and patients: 2"),
    ],
)
def test_speakers_of_clinical_dialogues(tmp_path: Path, text: str, expected: str) -> None:
    """The clinical recipe drops the names of all speakers, and keeps words with a hyphen."""
    recipe = parse_args([str(RECIPES / "clinical_dialogue.json"), "--output_dir", str(tmp_path / "out")])
    assert cleaned([text], recipe.data.cleaning, "t.csv") == [expected]


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.json")), ids=lambda path: path.stem)
def test_cleaning_of_recipes_is_fast_in_the_runtime(recipe: Path, tmp_path: Path) -> None:
    """The runtime tokenizes only the start of a long text, and no step can backtrack too far."""
    tokenizer = load_tokenizer(EncoderArguments()).backend_tokenizer
    add_cleaning(tokenizer, parse_args([str(recipe), "--output_dir", str(tmp_path / "out")]).data.cleaning)
    assert prefix_rule(tokenizer) is not None
    assert not can_backtrack(tokenizer)


def test_stderr_while_texts_are_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What other code writes to stderr during cleaning is printed, with and without an error."""

    def noisy(steps: Sequence[str]) -> Callable[[str], str]:
        key = dedup_key(steps)

        def loud(text: str) -> str:
            os.write(2, b"libc: a warning\n")
            return key(text)

        return loud

    monkeypatch.setattr("training.data.cleaning._tried", lambda _: FINE)
    monkeypatch.setattr("training.data.cleaning.dedup_key", noisy)
    assert cleaned(["a", "b"], ["drop:x"], "t.csv") == ["a", "b"]
    assert capfd.readouterr().err == "libc: a warning\n" * 2
    with pytest.raises(DataError, match="row 2: a step of --cleaning fails on its text"):
        cleaned(["a", "7"], ["drop:(?=7)"], "t.csv")
    assert capfd.readouterr().err == "libc: a warning\n" * 2


def test_cleaning_with_stderr_closed(tmp_path: Path) -> None:
    """Cleaning works when stderr is closed."""
    code = "import os; os.close(2); from training.data.cleaning import cleaned; print(cleaned(['A'], [], 't.csv'))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert done.stdout == "['a']\n"


def test_labels_with_joiners(tmp_path: Path) -> None:
    """Labels may contain joiners, as Persian words and emoji do; other invisible characters are rejected."""
    labels = ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f692")
    rows = [row | {"label": labels[index % 2]} for index, row in enumerate(single())]
    assert load_data(arguments(table(tmp_path, rows))).labels == labels
    for wrong in ("\u200d", "a\u202eb"):
        message = refusal(arguments(table(tmp_path, [*rows, {"text": "t", "label": wrong}])))
        assert message.startswith("train.csv: row 41: a label has unprintable characters")


def test_test_file_with_lists_of_labels(tmp_path: Path) -> None:
    """A test file with lists of labels is rejected if the training file has one label per row."""
    test = tmp_path / "test.jsonl"
    test.write_text("\n".join(json.dumps({"text": f"t {row}", "label": ["even"] * (row % 2)}) for row in range(4)))
    message = refusal(arguments(table(tmp_path, single()), test_file=str(test)))
    assert message == "test.jsonl: expected one label per row as in train.csv, found lists of labels"


def test_nothing_left_to_train_on(tmp_path: Path) -> None:
    """Passing the training file as the test file is an error."""
    path = table(tmp_path, single())
    assert "every text of the validation split is also in" in refusal(arguments(path, test_file=path))


def test_file_without_header_and_quotes(tmp_path: Path) -> None:
    """A file like GoEmotions is read: no header, numbered labels with a names file, quotes as ordinary characters."""
    rows = [f'"quoted" {index}\t{("0", "0,2", "")[index % 3]}\tid{index}' for index in range(30)]
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    (tmp_path / "labels.txt").write_text("joy\nanger\nfear\n")
    options = {"column_names": ["text", "emotions", "id"], "label_columns": ["emotions"], "label_separator": ","}
    names = {"label_names_file": str(tmp_path / "labels.txt"), "quoting": False}
    data = load_data(arguments(str(tmp_path / "train.tsv"), **options, **names))
    assert (data.task, data.labels) == ("multi_label", ("joy", "anger", "fear"))
    expected = {0: [1, 0, 0], 1: [1, 0, 1], 2: [0, 0, 0]}
    for row, text, target in zip(data.train.rows, data.train.texts, data.train.targets.tolist(), strict=True):
        assert text == f'"quoted" {row}'
        assert target == expected[row % 3]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("joy\nfear\n", "row 2 has a label that is not a number from 0 to 1"),
        ("joy\n\nfear\n", "expected one name per line, none empty and none twice"),
        ("joy\njoy\nfear\n", "none twice"),
        ("calm\u2028or\nglad\nsad\n", "a label name is empty or has unprintable characters"),
        (None, "cannot read --label_names_file"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_unusable_names_of_labels(tmp_path: Path, names: str | bytes | None, expected: str) -> None:
    """A names file that is missing, ambiguous, or too short is rejected."""
    rows = [{"text": f"text {index}", "label": 2 * (index % 2)} for index in range(40)]
    path = tmp_path / "labels.txt"
    if names is not None:
        path.write_bytes(names if isinstance(names, bytes) else names.encode())
    assert expected in refusal(arguments(table(tmp_path, rows), label_names_file=str(path)))


def test_names_for_columns_that_have_some(tmp_path: Path) -> None:
    """Column names are rejected for JSON Lines, which name every field."""
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"text": "t", "label": "a"}))
    assert "--column_names is for tables" in refusal(arguments(str(path), column_names=["text", "label"]))


def test_too_few_column_names(tmp_path: Path) -> None:
    """Rows with more fields than column names are an error."""
    (tmp_path / "train.csv").write_text("a,b,c\n")
    assert "has 3 fields, --column_names has 2" in refusal(
        arguments(str(tmp_path / "train.csv"), column_names=["text", "label"])
    )


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("\u60a3\u8005\u5426\u8ba4\u75bc\u75db", "is the label column the right one?"),
        ("EVEN", "one of them differs only in case, white space or invisible characters"),
    ],
)
def test_unknown_label(tmp_path: Path, label: str, hint: str) -> None:
    """The message about an unknown label does not show it, but tells whether a known label looks the same."""
    test = table(tmp_path, [*single(8), {"text": "t", "label": label}], "test.csv")
    message = refusal(arguments(table(tmp_path, single()), test_file=test))
    expected = "test.csv: row 9 has an unknown label, not one of the 2 in the training file"
    assert message == f"{expected}; {hint}"


@pytest.mark.parametrize(
    "labels",
    [
        ("Yes", "yes"),
        ("a b", "a  b"),
        ("stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff21", "a"),
        ("ab", "a\u200db"),
    ],
)
def test_labels_that_look_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture, labels: tuple[str, str]) -> None:
    """Labels that look the same are different labels, with a warning that gives rows, since labels may be texts."""
    rows = [row | {"label": labels[index % 2]} for index, row in enumerate(single())]
    assert load_data(arguments(table(tmp_path, rows))).labels == tuple(sorted(labels))
    first, second = (1 + (label == labels[1]) for label in sorted(labels))
    assert caplog.messages == [
        "train.csv: labels that differ only in case, white space or invisible characters are different labels: "
        f"row {first} and row {second}; merge them if they mean the same"
    ]


def test_many_labels_that_look_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning gives the rows of ten pairs and counts the others; labels that differ visibly cause none."""
    names = [case(f"label {number}") for number in range(12) for case in (str.lower, str.upper)]
    rows = [{"text": f"text {index}", "label": names[index % 24]} for index in range(240)]
    load_data(arguments(table(tmp_path, rows)))
    (message,) = caplog.messages
    assert message.count(" and row ") == 10
    assert "label 3" not in message
    assert " and 2 more; merge" in message
    caplog.clear()
    load_data(arguments(table(tmp_path, single())))
    assert not caplog.messages


def test_one_class_only(tmp_path: Path) -> None:
    """Data with a single label is rejected."""
    rows = [row | {"label": "odd"} for row in single()]
    assert "expected two or more labels in label, found 1" in refusal(arguments(table(tmp_path, rows)))


def test_missing_label(tmp_path: Path) -> None:
    """The message about a missing label gives the row."""
    rows = single()
    rows[4]["label"] = " "
    assert "row 5 has no label in 'label'" in refusal(arguments(table(tmp_path, rows)))


def test_invalid_flag(tmp_path: Path) -> None:
    """The message about an invalid flag gives row and column, and what is expected."""
    rows = [{"text": "t", "a": "1", "b": "maybe"}]
    message = refusal(arguments(table(tmp_path, rows), label_columns=["a", "b"]))
    assert message == "train.csv: row 1, column 'b': expected 0, 1, TRUE or FALSE"


def test_empty_text(tmp_path: Path) -> None:
    """The message about empty texts gives their number, the first row, and what to do."""
    rows = single()
    rows[2]["text"] = rows[9]["text"] = " "
    assert "2 rows have an empty text in text; the first is row 3; remove them" in refusal(
        arguments(table(tmp_path, rows))
    )


def test_columns_left_out(tmp_path: Path) -> None:
    """The message about missing column options says what to pass, and shows nothing of the file."""
    assert refusal(arguments(table(tmp_path, single()), label_columns=[])) == (
        "pass --text_columns and --label_columns: names from the header, or from --column_names"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"test_size": 1.5}, "--test_size: expected a fraction between 0 and 1, found 1.5"),
        ({"test_size": 0.01}, "cannot split 1 test rows off"),
        ({"test_size": 0.9, "validation_size": 0.2}, "; use more rows, or another --validation_size"),
        ({"split_seed": -1}, "--split_seed: expected 0 to 4294967295, found -1"),
        ({"label_columns": ["x", "y"], "label_separator": "|"}, "requires a single label column"),
        ({"label_columns": ["x", "is\u00a0y"]}, "a label name is empty or has unprintable characters"),
        ({"label_columns": ["missing"]}, "none of its 2 columns is called 'missing'"),
        ({"dataset": "wisconsin"}, "pass either --dataset or files"),
        ({"label_separator": ""}, "expected the characters between two labels"),
        ({"delimiter": ""}, "--delimiter: expected one character"),
        ({"delimiter": "\n"}, r"found '\n'"),
        ({"delimiter": '"'}, "--delimiter: expected one character"),
        ({"encoding": "a\0b"}, "unknown encoding"),
    ],
)
def test_refusals(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    """Every unusable option or value has a message of its own."""
    if options.get("label_columns", [""])[0] == "x":
        rows: list[dict[str, Any]] = [{"text": "t", "x": "1", "y": "0", "is\u00a0y": "0"}]
    else:
        rows = single()
    assert expected in refusal(arguments(table(tmp_path, rows), **options))


def test_unknown_data_set() -> None:
    """The message about an unknown data set lists the embedded ones."""
    assert "unknown data set 'iris'; expected wisconsin" in refusal(DataArguments(dataset="iris"))


def test_nothing_to_train_on() -> None:
    """The message about missing data says which options to pass."""
    assert "nothing to train on" in refusal(DataArguments())


def test_headerless_file_is_not_shown(tmp_path: Path) -> None:
    """Without a header the first text takes the place of the column names, and no message shows it."""
    path = tmp_path / "train.csv"
    path.write_text("Miller denies any pain today,x\nSmith has had a fever,y\n")
    assert "does the file have a header" in refusal(arguments(str(path)))
    for columns in (["label"], []):
        assert "Miller" not in refusal(arguments(str(path), label_columns=columns))


def test_text_column_as_label_column(tmp_path: Path) -> None:
    """A column may not be both text and label."""
    message = refusal(arguments(table(tmp_path, single()), label_columns=["text"]))
    assert "in both --text_columns and --label_columns" in message


def test_text_column_twice(tmp_path: Path) -> None:
    """A text column may not be named twice."""
    message = refusal(arguments(table(tmp_path, single()), text_columns=["text", "text"]))
    assert message == "--text_columns names a column twice"


def test_long_labels_are_not_shown(tmp_path: Path) -> None:
    """If a column of texts is passed as the label column, the message does not show its content."""
    rows = [{"text": "t", "label": f"Miller denies any pain on day {index % 2}"} for index in range(20)]
    test = table(tmp_path, [{"text": "t", "label": "Smith denies any pain"}], "test.csv")
    message = refusal(arguments(table(tmp_path, rows), test_file=test))
    assert "unknown label" in message
    assert "denies" not in message


@pytest.mark.parametrize("label", [{"x": 1}, 1.5, float("nan")])
def test_labels_of_other_json_types(tmp_path: Path, label: object) -> None:
    """JSON objects and fractions are rejected as labels."""
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps({"text": "t", "label": value}) for value in ("a", "b", label)))
    assert "train.jsonl: row 3: expected a label that is" in refusal(arguments(str(path)))


def test_errors_never_show_texts(tmp_path: Path) -> None:
    """An error about one row shows no text of another row."""
    rows = [{"text": "Miller denies pain", "label": "x"}, {"text": "", "label": "y"}]
    assert "Miller" not in refusal(arguments(table(tmp_path, rows)))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not beside the checkout")
@pytest.mark.parametrize(
    ("options", "labels", "rows", "test_rows"),
    [
        (
            {
                "train_file": "mts_dialog/MTS-Dialog-TrainingSet.csv",
                "text_columns": ["dialogue"],
                "label_columns": ["section_header"],
            },
            20,
            1201,
            241,
        ),
        (
            {
                "train_file": "medical_abstracts/medical_abstracts.csv",
                "delimiter": ";",
                "text_columns": ["title", "abstract"],
                "label_columns": ["group"],
                "label_separator": "|",
            },
            4,
            3565,
            713,
        ),
        (
            {
                "train_file": "youtoxic/youtoxic_english_1000.csv",
                "text_columns": ["Text"],
                "label_columns": ["IsToxic", "IsAbusive", "IsThreat", "IsRadicalism"],
            },
            4,
            1000,
            200,
        ),
    ],
    ids=["mts_dialog", "medical_abstracts", "youtoxic"],
)
def test_public_data_sets(options: dict[str, Any], labels: int, rows: int, test_rows: int) -> None:
    """The public data sets are read in their three layouts, with the test splits of the notebooks."""
    path = str(SHARED / options.pop("train_file"))
    data = load_data(DataArguments(train_file=path, **options))
    assert (len(data.labels), len(data.test.texts)) == (labels, test_rows)
    assert sum(len(split.texts) for split in data.splits.values()) + sum(data.removed.values()) == rows
    if data.task == "single_label":
        assert set(Counter(data.train.targets.tolist())) == set(range(labels))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no public data sets beside the project")
@pytest.mark.parametrize(
    ("recipe", "files", "labels", "test_rows"),
    [
        ("banking77", ("banking77/train.csv", "banking77/test.csv"), 77, 3080),
        ("goemotions", ("goemotions/train.tsv", "goemotions/test.tsv", "goemotions/dev.tsv"), 28, 5427),
        ("clinical_dialogue", ("mts_dialog/MTS-Dialog-TrainingSet.csv",), 20, 241),
        ("medical_abstracts", ("medical_abstracts/medical_abstracts.csv",), 4, 713),
        ("toxic_comments", ("youtoxic/youtoxic_english_1000.csv",), 12, 200),
    ],
)
def test_recipes_read_their_data(recipe: str, files: tuple[str, ...], labels: int, test_rows: int) -> None:
    """Every recipe reads the files that docs/training.md names, and the test split is whole."""
    argv = [str(Path(__file__).parents[3] / f"training/recipes/{recipe}.json"), "--output_dir", "unused"]
    for option, file in zip(("--train_file", "--test_file", "--validation_file"), files, strict=False):
        argv += [option, str(SHARED / file)]
    if recipe == "goemotions":
        argv += ["--label_names_file", str(SHARED / "goemotions/labels.txt")]
    data = load_data(parse_args(argv).data)
    assert (len(data.labels), len(data.test.texts)) == (labels, test_rows)
