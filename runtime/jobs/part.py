"""Scores a part of a job and writes its file, its rejects and its receipt."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

from ..classifier import Classifier
from ..decision.policy import CallOptions
from ..decision.prediction import Prediction
from ..errors import InputError, TextError
from ..files import writers
from ..files.chunks import InputReader
from ..files.inputs import InputFile
from ..files.records import Layout, Record
from ..files.storage import Status, reading_errors, writing_errors
from ..scheduling.background import read_ahead
from .loading import load_same
from .output_folder import OutputFolder, Receipt
from .plan import Part
from .scoring import CHUNKS_AHEAD, Scored, score_chunks

PartFormat = Literal["jsonl", "csv", "tsv", "parquet"]


@dataclass(frozen=True)
class Job:
    """What to score, by what, and where to. It can be pickled, for processes on this machine and on others.

    Attributes:
        artifact: Path of the artifact.
        sha256: Hash of the artifact.
        engine: Arguments of `load`.
        options: Options of the predictions.
        files: The inputs.
        layouts: The layout of each.
        statuses: Size and time of each when the job started.
        keep: Names of the kept columns in the output.
        output: The folder.
        form: Format of the parts.
        dedupe: Whether to look up texts that are repeated.
    """

    artifact: str
    sha256: str
    engine: Mapping[str, Any]
    options: CallOptions
    files: Sequence[InputFile]
    layouts: Sequence[Layout]
    statuses: Sequence[Status]
    keep: Sequence[str]
    output: OutputFolder
    form: PartFormat
    dedupe: bool


class TooManyRejectsError(InputError):
    """More rows are rejected than `--max-rejects` allows."""


class PartScorer:
    """Scores parts one after the other. A process, or an actor of a cluster, has one."""

    def __init__(self, job: Job, classifier: Classifier | None = None) -> None:
        """Loads the artifact.

        Args:
            job: The job.
            classifier: The loaded artifact; None to load it.

        Raises:
            LitmusError: As `load_same`.
        """
        self._job = job
        self._classifier = classifier or load_same(job.artifact, job.sha256, job.engine)
        self._reader: InputReader | None = None
        self._file = -1

    def score(self, part: Part, *, allowed: int | None = None, on_rows: Callable[[int], None] | None = None) -> Receipt:
        """Scores a part and writes its files.

        Args:
            part: The part.
            allowed: Number of rejects that the part may have; None for any.
            on_rows: Called with the number of rows of each chunk.

        Raises:
            TooManyRejectsError: There are more rejects; nothing is written.
            InputError: The input was changed or cannot be read, or the output cannot be written; nothing is written.
            InferenceError: The model fails.
        """
        job = self._job
        reader = self._open(part)
        chunks = score_chunks(self._classifier, reader.read(part.span), job.options, dedupe=job.dedupe)
        rejects = _Rejects(job, part, allowed)
        scored = repeated = 0
        with writing_errors(job.output.path), contextlib.ExitStack() as stack:
            # The model runs in a background thread, so that writing overlaps with it.
            ready = stack.enter_context(contextlib.closing(read_ahead(chunks, CHUNKS_AHEAD)))
            file = _HashingFile(stack.enter_context(job.output.part(part.number)))
            with self._writer(file, part) as write:
                for chunk in ready:
                    good = write(chunk)
                    scored += good
                    repeated += chunk.repeated
                    if good < len(chunk.results):
                        rejects.write(chunk, stack)
                    if on_rows is not None:
                        on_rows(len(chunk.results))
        assert scored + rejects.rows == part.span.rows, "a row is neither scored nor rejected"
        receipt = Receipt(
            part.number, part.span.rows, scored, rejects.rows, repeated,
            file.size_bytes, file.hash.hexdigest(), rejects.sha256,
        )  # fmt: skip
        job.output.write_receipt(receipt)
        return receipt

    def close(self) -> None:
        """Closes the input and the classifier."""
        if self._reader is not None:
            self._reader.close()
        self._classifier.close()

    def _open(self, part: Part) -> InputReader:
        job, file = self._job, self._job.files[part.file]
        with reading_errors(file.path):
            if file.storage.status(file.path) != job.statuses[part.file]:
                raise InputError(f"{file.name} was changed while the job ran; start again with --restart")
        if self._reader is None or part.file != self._file:
            if self._reader is not None:
                self._reader.close()
            self._file = part.file
            self._reader = InputReader(
                file, job.layouts[part.file], first_index=part.index - part.span.row, typed=job.form == "parquet"
            )
        return self._reader

    @contextlib.contextmanager
    def _writer(self, file: "_HashingFile", part: Part) -> Iterator[Callable[[Scored], int]]:
        """Provides a function that writes the predictions of a chunk and returns their number."""
        job, labels, top_k = self._job, self._classifier.labels, self._job.options.get("top_k")
        if job.form == "parquet":
            from ..files.parquet import ParquetWriter, kept_types  # noqa: PLC0415 - needs pyarrow

            types = kept_types(job.files[part.file], job.layouts[part.file])
            with ParquetWriter(file, labels, list(zip(job.keep, types, strict=True)), top_k=top_k) as parquet:
                yield lambda scored: parquet.write(*_good(scored))
            return
        with io.TextIOWrapper(io.BufferedWriter(file, 1 << 16), "utf-8", "backslashreplace", newline="") as output:
            write_row = writers.row_writer(job.form, output, labels, with_error=False, keep=job.keep, top_k=top_k)

            def write(scored: Scored) -> int:
                records, found, _ = _good(scored)
                for record, prediction in zip(records, found, strict=True):
                    write_row(writers.output_row(record, prediction, keep=job.keep))
                return len(records)

            yield write


class _Rejects:
    """Writes the rows of a part that could not be scored: where they are and why, never what they contain."""

    def __init__(self, job: Job, part: Part, allowed: int | None) -> None:
        self._job, self._part, self._allowed = job, part, allowed
        self._file: _HashingFile | None = None
        self.rows = 0

    @property
    def sha256(self) -> str:
        """Hash of the file; "" if there is none."""
        return "" if self._file is None else self._file.hash.hexdigest()

    def write(self, scored: Scored, stack: contextlib.ExitStack) -> None:
        """Writes the rejects of a chunk into a file that the stack completes."""
        if self._file is None:
            self._file = _HashingFile(stack.enter_context(self._job.output.rejects(self._part.number)))
        for record, result in zip(scored.chunk.records, scored.results, strict=True):
            if isinstance(result, TextError):
                self.rows += 1
                fields = self._fields(record, result)
                if self._allowed is not None and self.rows > self._allowed:
                    raise TooManyRejectsError(f"{fields['file']}, row {fields.get('row')}: {fields['reason']}")
                self._file.write((json.dumps(fields, ensure_ascii=False) + "\n").encode())

    def _fields(self, record: Record, error: TextError) -> dict[str, Any]:
        fields: dict[str, Any] = {"index": record.index, "file": self._job.files[self._part.file].name}
        if record.place is not None:
            place = record.place
            fields["row"] = place.row
            fields |= {} if place.line is None else {"line": place.line}
            fields |= {} if place.start is None else {"bytes": [place.start, place.end]}
        return fields | {"reason": record.error or error.reason}


class _HashingFile(io.RawIOBase):
    """Passes what is written on, and hashes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Writes all of the data."""
        self._file.write(data)
        self.hash.update(data)
        size = memoryview(data).nbytes
        self.size_bytes += size
        return size


def _good(scored: Scored) -> tuple[list[Record], list[Prediction], Any]:
    """Returns the records that have predictions, these, and the rows of `Chunk.kept` that belong to them."""
    (records, kept), results = scored.chunk, scored.results
    good = [at for at, item in enumerate(results) if isinstance(item, Prediction)]
    found = [item for item in results if isinstance(item, Prediction)]
    if len(good) == len(records):
        return records, found, kept
    if kept is not None:
        from ..files.parquet import select  # noqa: PLC0415 - needs pyarrow

        kept = select(kept, good)
    return [records[at] for at in good], found, kept
