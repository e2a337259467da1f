"""`RowScorer`: predictions for batches of other engines."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from runtime import ArtifactError, Classifier, RowScorer, SettingError

TEXTS = ["the train was late", "calm", "", None, "late again", "calm"]


def test_arrays(artifact: Path, classifier: Classifier) -> None:
    """A dict of NumPy arrays keeps its columns and gets those of the predictions; a row never raises."""
    batch = {"id": np.arange(7), "text": np.array([*TEXTS, 3], object)}
    found = RowScorer(artifact)(batch)
    expected = classifier.predict_many(["the train was late", "calm", "late again"])
    assert found["label"].tolist() == [
        expected[0].label, expected[1].label, None, None, expected[2].label, expected[1].label, None
    ]  # fmt: skip
    assert found["labels"].tolist()[0] == list(expected[0].labels)
    for label in classifier.labels:
        scores = found[f"score_{label}"]
        assert scores.dtype == np.float32
        assert scores[[0, 1, 4]] == pytest.approx([item.scores[label] for item in expected], abs=1e-5)
        assert np.isnan(scores[[2, 3, 6]]).all()
    assert found["n_tokens"].tolist()[:3] == [expected[0].n_tokens, expected[1].n_tokens, 0]
    assert [bool(error) for error in found["error"]] == [False, False, True, True, False, False, True]
    assert found["error"][3] == "the text is missing, not a string, or not UTF-8"
    assert list(found) == ["id", "text", *(name for name, _ in RowScorer(artifact).columns)]


@pytest.mark.parametrize("kind", [pa.Table, pa.RecordBatch])
def test_arrow(artifact: Path, kind: type) -> None:
    """Arrow tables and batches keep their kind and types, and rows with an error have nulls."""
    batch = kind.from_pydict({"note": TEXTS, "id": pa.array(range(6), pa.int16())})
    scorer = RowScorer(artifact, "note", top_k=1)
    found = scorer(batch)
    assert isinstance(found, kind)
    assert found.schema.field("id").type == pa.int16()
    assert found.schema.names == ["note", "id", *(name for name, _ in scorer.columns)]
    assert found.column("label_1").to_pylist() == found.column("label").to_pylist()
    assert found.column("score_1").null_count == found.column("labels").null_count == 2


def test_schema_is_kept(artifact: Path) -> None:
    """Metadata of the schema and of its fields stay, and so does what may not be null."""
    note = pa.field("text", pa.string(), nullable=False, metadata={"unit": "word"})
    table = pa.table([["late"]], schema=pa.schema([note], {"source": "ward"}))
    found = RowScorer(artifact)(table).schema
    assert found.metadata == {b"source": b"ward"}
    assert found.field("text").equals(note, check_metadata=True)


def test_iterator_of_batches(artifact: Path) -> None:
    """An iterator over batches, as Spark passes it, gives an iterator over batches."""
    batches = pa.table({"text": TEXTS[:3] * 4}).to_batches(max_chunksize=5)
    found = list(RowScorer(artifact)(iter(batches)))
    assert [len(batch) for batch in found] == [5, 5, 2]


@pytest.mark.parametrize("batch", [None, [], {"text": "late"}, {"text": np.array("late")}, {"text": np.eye(2)}])
def test_batches_of_another_kind(artifact: Path, batch: object) -> None:
    """What is neither a batch nor an array of texts is refused, not read letter by letter."""
    with pytest.raises(SettingError, match=r"expected a dict|one dimension"):
        RowScorer(artifact)(batch)


def test_relative_path(artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scorer finds its artifact when it is used in another working directory."""
    monkeypatch.chdir(artifact.parent)
    scorer = RowScorer(artifact.name)
    monkeypatch.chdir(tmp_path)
    assert scorer({"text": np.array(["late"])})["error"].tolist() == [None]


def test_pickled(artifact: Path) -> None:
    """A scorer is pickled without the model, and a copy gives the same."""
    scorer = RowScorer(artifact)
    content = pickle.dumps(scorer)
    assert len(content) < 2000
    batch = {"text": np.array(["late", "calm"])}
    assert pickle.loads(content)(batch)["label"].tolist() == scorer(batch)["label"].tolist()


def test_another_artifact_on_the_machine(artifact: Path) -> None:
    """A machine whose artifact has another hash refuses to score."""
    with pytest.raises(ArtifactError, match="not the one that was named first"):
        RowScorer(artifact, sha256="0" * 64)({"text": np.array(["late"])})


def test_columns_that_are_taken_or_missing(artifact: Path) -> None:
    """A column of the batch is never replaced, and the error for a missing one shows none."""
    scorer = RowScorer(artifact)
    with pytest.raises(SettingError, match="has the column 'label' already"):
        scorer({"text": np.array(["late"]), "label": np.array(["x"])})
    with pytest.raises(SettingError, match="does not have the text column"):
        scorer({"note": np.array(["late"])})
    with pytest.raises(SettingError, match="top_k"):
        RowScorer(artifact, top_k=0)


def test_ddl_names_the_columns(artifact: Path) -> None:
    """The schema for Spark has a quoted name and a type for each column."""
    scorer = RowScorer(artifact, top_k=1)
    assert scorer.ddl == (
        "`label` string, `labels` array<string>, `label_1` string, `score_1` float, `abstained` boolean, "
        "`truncated` boolean, `n_tokens` int, `error` string"
    )
