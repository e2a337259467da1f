"""Real texts of a file, and whether an artifact and a data set belong together."""

import random
from dataclasses import dataclass
from pathlib import Path

from runtime import ArtifactError, Classifier
from training.data.dataset import LabelledData
from training.data.table import read_table
from training.errors import DataError

SEED = 7


@dataclass(frozen=True)
class TextsFile:
    """A CSV, TSV or JSON Lines file with a column of texts; delimiter and encoding are those of `read_table`."""

    path: str
    column: str
    delimiter: str | None = None
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        """The file and its folder: many data sets have a `test.csv`."""
        return "/".join(Path(self.path).resolve().parts[-2:])

    def sample(self, count: int) -> list[str]:
        """Draws texts without replacement, the same ones each time: a file is often sorted by class.

        Returns:
            As many as asked for, or all there are; rows that hold no text are left out.

        Raises:
            DataError: The file or the column cannot be used.
        """
        table = read_table(self.path, delimiter=self.delimiter, encoding=self.encoding)
        texts = [text for (text,) in table.fields([self.column]) if isinstance(text, str) and text.strip()]
        if not texts:
            raise DataError(f"{table.name}: column {self.column!r} has no text; choose another with --text_column")
        return random.Random(SEED).sample(texts, min(count, len(texts)))  # noqa: S311 - rows, not secrets


def check_labels(classifier: Classifier, data: LabelledData, model: str) -> None:
    """Makes sure that an artifact and a data set speak of the same labels in the same order.

    Raises:
        ArtifactError: They do not, so their figures would mean nothing.
    """
    if classifier.labels != data.labels:
        raise ArtifactError(f"{model} has other labels than the checkpoint's data set; export this checkpoint again")
