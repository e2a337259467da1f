"""Classifies records and writes one row for each, in order."""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from ..classifier import Classifier, Result
from ..cli.progress import Progress
from ..decision.policy import CallOptions
from ..decision.prediction import Prediction
from ..errors import TextError
from ..files import highlight, writers
from ..files.lines import NO_MEMORY
from ..files.records import Record
from ..page import page_end

FLUSHED_ROWS = 256
Share = float | None
Item = tuple[Record, Share]
"""A record, and the fraction of the input up to it; None if that is unknown."""


class RowWriter(Protocol):
    """Writes one row, and what belongs below it."""

    def __call__(self, row: writers.Row, below: str = "") -> None:
        """Writes the row."""


@dataclass(frozen=True)
class ExplanationPage:
    """An HTML page that explains each prediction.

    Attributes:
        file: The page.
        label: The label to explain; None for the best one of each text.
        terminal: Whether to repeat the texts below the rows, with their words highlighted.
        colours: Whether the terminal shows colours.
    """

    file: TextIO
    label: str | None = None
    terminal: bool = False
    colours: bool = False


@dataclass(frozen=True)
class StreamScorer:
    """Classifies records and writes their rows.

    Attributes:
        classifier: The classifier.
        write: Writes a row.
        options: Options of the predictions.
        with_id: Whether rows have the record's id.
        with_text: Whether rows repeat the text.
        keep: Names of the kept columns.
        page: Where to explain the predictions; None to explain none.
    """

    classifier: Classifier
    write: RowWriter
    options: CallOptions = field(default_factory=CallOptions)
    with_id: bool = False
    with_text: bool = False
    keep: Sequence[str] = ()
    page: ExplanationPage | None = None

    def score(self, groups: Iterable[Iterable[Item]], output: TextIO, progress: Progress) -> int:
        """Classifies records and writes a row for each.

        Args:
            groups: The records, in groups. The rows of a group are written before the next group is read, so that an
                interactive caller gets them. A file is one group.
            output: Receives the rows; flushed from time to time and after each group.
            progress: Counts the texts and reports errors.

        Returns:
            The number of texts that could not be classified.

        Raises:
            InputError: The input cannot be read any further; rows of the records before are written.
            InferenceError: The model fails.
        """
        if self.page is not None:
            self.page.file.write(highlight.page_start())
        for group in groups:
            for record, share, result in self._results(group):
                self._write_row(record, result, progress)
                progress.count(share)
                if progress.texts % FLUSHED_ROWS == 0:
                    output.flush()
            output.flush()
        if self.page is not None:
            self.page.file.write(page_end())
        return progress.failures

    def _results(self, items: Iterable[Item]) -> Iterator[tuple[Record, Share, Result]]:
        """Yields each record with its prediction or error."""
        waiting: deque[Item] = deque()

        def texts() -> Iterator[str]:
            for record, share in items:
                waiting.append((record, share))
                yield record.text

        for result in self.classifier.predict_iter(texts(), return_errors=True, **self.options):
            yield *waiting.popleft(), result

    def _write_row(self, record: Record, result: Result, progress: Progress) -> None:
        try:
            self._explain_and_write(record, result)
        except (MemoryError, TextError) as error:  # the text was classified, but cannot be explained or repeated
            result = error if isinstance(error, TextError) else TextError(record.index, NO_MEMORY)
            self._explain_and_write(dataclasses.replace(record, text=""), result)
        if isinstance(result, TextError):
            progress.fail(record.index, record.error or result.reason)

    def _explain_and_write(self, record: Record, result: Result) -> None:
        explanation, below, page = None, "", self.page
        if page is not None and isinstance(result, Prediction):
            label = page.label or result.label or max(result.scores, key=result.scores.__getitem__)
            explanation = self.classifier.explain(record.text, label)
            name = str(record.index if record.id is None else record.id)
            page.file.write(highlight.article(name, record.text, explanation))
            if page.terminal:
                below = highlight.coloured(record.text, explanation, colours=page.colours) + "\n"
        row = writers.output_row(
            record,
            result,
            with_id=self.with_id,
            with_text=self.with_text,
            keep=self.keep,
            explanation=explanation,
        )
        self.write(row, below)
