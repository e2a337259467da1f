"""Texts sampled from a file, and texts of an exact number of tokens."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.data.sized_texts import SizedTexts
from benchmarks.data.texts_file import TextsFile
from training.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> TextsFile:
    """A file of a hundred sorted texts and two rows without text."""
    path = tmp_path / "folder" / "texts.csv"
    path.parent.mkdir()
    path.write_text("id,text\n" + "".join(f"{n},text {n:02}\n" for n in range(100)) + "100,\n101, \n")
    return TextsFile(str(path), "text")


def test_sample_is_of_the_whole_file(file: TextsFile) -> None:
    """The sample covers the whole file, so that a file sorted by class gives texts of all classes."""
    numbers = [int(text.split()[1]) for text in file.sample(20)]
    assert len(set(numbers)) == 20
    assert numbers != sorted(numbers)
    assert min(numbers) < 20
    assert max(numbers) > 80


def test_sample_is_the_same_again(file: TextsFile) -> None:
    """The sample is the same every time, so that two artifacts are timed on the same texts."""
    assert file.sample(20) == file.sample(20)


def test_sample_has_no_row_twice(file: TextsFile) -> None:
    """A sample larger than the file has every row once, except rows without text."""
    assert sorted(file.sample(1000)) == [f"text {n:02}" for n in range(100)]


def test_files_name_has_its_folder(file: TextsFile) -> None:
    """A file's name includes its folder, because many data sets have a `test.csv`."""
    assert file.name == "folder/texts.csv"


def test_column_that_is_not_there(file: TextsFile) -> None:
    """The error for a missing column names that column and shows no cell of the file."""
    with pytest.raises(DataError, match="none of its 2 columns is called 'words'; does the file have a header"):
        TextsFile(file.path, "words").sample(1)


def test_column_without_text(tmp_path: Path) -> None:
    """A column of numbers is rejected because it has no text."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n{"id": 2}\n')
    with pytest.raises(DataError, match="column 'id' has no text"):
        TextsFile(str(path), "id").sample(1)


def test_delimiter_and_encoding(tmp_path: Path) -> None:
    """Delimiter and encoding are used to read the file."""
    path = tmp_path / "rows.txt"
    path.write_bytes("id;text\n1;spät\n".encode("cp1252"))
    assert TextsFile(str(path), "text", ";", "cp1252").sample(1) == ["spät"]


@pytest.mark.parametrize(("special", "per_word", "longest"), [(2, 1, 48), (1, 2, 47), (2, 1, 3), (0, 1, 1)])
def test_sized_texts_are_exact(special: int, per_word: int, longest: int) -> None:
    """A sized text has exactly the requested tokens, whatever the special tokens, the word and the maximum length."""

    def predict(text: str) -> Any:
        return SimpleNamespace(n_tokens=min(longest, special + per_word * len(text.split())))

    classifier: Any = SimpleNamespace(predict=predict, manifest=SimpleNamespace(max_length=longest))
    sized = SizedTexts.of(classifier)
    for tokens in range(sized.shortest, longest + 1, per_word):
        assert predict(sized.text(tokens)).n_tokens == tokens
    assert predict(sized.text(sized.shortest)).n_tokens == sized.shortest
    assert sized.text(9999) == sized.text(longest)
