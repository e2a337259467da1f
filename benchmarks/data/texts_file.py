"""Real texts from a file, and a check that an artifact and a data set have the same labels."""

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
    """A CSV, TSV or JSON Lines file with a column of texts; delimiter and encoding as for `read_table`."""

    path: str
    column: str
    delimiter: str | None = None
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        """The file and its folder, because many data sets have a `test.csv`."""
        return "/".join(Path(self.path).resolve().parts[-2:])

    def sample(self, count: int) -> list[str]:
        """Draws texts at random, because files are often sorted by class. The draw is the same every time.

        Args:
            count: How many texts to draw, without replacement; all of them if the file has fewer.

        Returns:
            The texts. Rows without text are never drawn.

        Raises:
            DataError: The file or the column cannot be used.
        """
        table = read_table(self.path, delimiter=self.delimiter, encoding=self.encoding)
        texts = [text for (text,) in table.fields([self.column]) if isinstance(text, str) and text.strip()]
        if not texts:
            raise DataError(f"{table.name}: column {self.column!r} has no text; choose another with --text_column")
        return random.Random(SEED).sample(texts, min(count, len(texts)))  # noqa: S311 - rows, not secrets


def check_labels(classifier: Classifier, data: LabelledData, model: str) -> None:
    """Checks that an artifact and a data set have the same labels in the same order.

    Raises:
        ArtifactError: The labels differ, so figures of this artifact on this data would mean nothing.
    """
    if classifier.labels != data.labels:
        raise ArtifactError(f"{model} has other labels than the checkpoint's data set; export this checkpoint again")
