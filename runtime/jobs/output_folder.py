"""The folder of a job's output: parts, receipts, and the record of the run.

run.json                         what is scored, by what, and how far it is
part-000000.jsonl                 predictions
receipts/plan.jsonl              the parts
receipts/receipt-000000.json      written last: a part without a receipt does not exist
receipts/rejects-000000.jsonl     rows of the part that could not be scored, if there are any
rejects.jsonl                    all of them, when the job is finished
"""

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from ..errors import InputError
from ..files.atomic_file import locked
from ..files.storage import TEMPORARY, Storage, open_storage, reading_errors, writing_errors
from .plan import Part

RUN, PLAN, REJECTS, RECEIPTS, LOCK = "run.json", "plan.jsonl", "rejects.jsonl", "receipts", "lock"
STOP = "stop"
RECEIPT = re.compile(r"receipt-(\d{6,})\.json")
READERS = 16  # receipts that are read at once, because an object store takes its time for each


@dataclass(frozen=True)
class Receipt:
    """What a part came to.

    Attributes:
        part: Number of the part.
        rows: Number of rows of the input.
        scored: Number of rows in the part's file.
        rejected: Number of rows in the part's rejects.
        repeated: Number of texts that were looked up, because they were repeated.
        size_bytes: Size of the part's file.
        sha256: Its hash.
    """

    part: int
    rows: int
    scored: int
    rejected: int
    repeated: int
    size_bytes: int
    sha256: str


class OutputFolder:
    """The folder of a job's output. It can be pickled."""

    def __init__(self, path: str, suffix: str) -> None:
        """Opens nothing yet.

        Args:
            path: A local path, or the address of an object store.
            suffix: Suffix of the parts.

        Raises:
            InputError: The address is not valid.
            DependencyError: pyarrow, which an address needs, is not installed.
        """
        self.path = path
        self._storage: Storage
        self._storage, inside = open_storage(path)
        self._folder = inside.rstrip("/") or "/"
        self._receipts = f"{self._folder}/{RECEIPTS}"
        self._suffix = suffix

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder, and keeps other jobs out of it; an object store has no locks.

        Raises:
            InputError: Another job is writing to the folder, or the folder cannot be made.
        """
        with writing_errors(self.path):
            self._storage.make_folder(self._receipts)
        with locked(f"{self._receipts}/{LOCK}", self.path) if self._storage.is_local else contextlib.nullcontext():
            yield

    def read_run(self, *, parse: bool = True) -> dict[str, Any] | None:
        """Returns the content of run.json; None if there is none.

        Args:
            parse: Whether its content is needed; without, an empty one is returned.

        Raises:
            InputError: It cannot be read, or there are files but none of a job.
        """
        names = self._names(self._folder)
        if RUN in names and not parse:
            return {}
        if RUN in names:
            with reading_errors(f"{self.path}/{RUN}"), self._storage.open(f"{self._folder}/{RUN}") as file:
                try:
                    return dict(json.loads(file.read()))
                except ValueError as error:
                    raise InputError(f"{self.path}/{RUN} is damaged; pass --restart to begin anew") from error
        if names:
            raise InputError(
                f"{self.path} has files but no {RUN}, so it is not the output of a job; choose another folder"
            )
        return None

    def write_run(self, content: dict[str, Any]) -> None:
        """Writes run.json."""
        self._write(f"{self._folder}/{RUN}", [json.dumps(content, indent=2, ensure_ascii=False) + "\n"])

    def read_plan(self) -> list[Part] | None:
        """Returns the parts; None if they were not planned yet."""
        if PLAN not in self._names(self._receipts):
            return None
        with reading_errors(f"{self.path}/{RECEIPTS}/{PLAN}"), self._storage.open(f"{self._receipts}/{PLAN}") as file:
            return [Part.from_json(line) for line in io.TextIOWrapper(file, "utf-8")]

    def write_plan(self, parts: Iterable[Part]) -> None:
        """Writes the parts."""
        self._write(f"{self._receipts}/{PLAN}", (part.to_json() + "\n" for part in parts))

    def clear(self) -> None:
        """Removes everything that a job writes: receipts first and run.json last, so that a job can be resumed."""
        with writing_errors(self.path):
            for name in self._names(self._receipts) - {LOCK}:
                self._storage.remove(f"{self._receipts}/{name}")
            for name in sorted(self._names(self._folder), key=RUN.__eq__):
                if name in (RUN, REJECTS) or name.startswith("part-"):
                    self._storage.remove(f"{self._folder}/{name}")

    def receipts(self, *, check: bool) -> dict[int, Receipt]:
        """Returns the receipts of the parts that are complete, and removes what is left of others.

        Args:
            check: Whether to compare the parts of a local folder with their hashes.

        Raises:
            InputError: A receipt cannot be read, or a part is not what its receipt says.
        """
        there, written = self._names(self._folder), self._names(self._receipts)
        matches = map(RECEIPT.fullmatch, written)
        numbers = sorted(int(match[1]) for match in matches if match is not None)
        with ThreadPoolExecutor(READERS) as pool:
            found = {receipt.part: receipt for receipt in pool.map(self._receipt, numbers)}
            if check and self._storage.is_local:
                list(pool.map(self._check, found.values()))
        for receipt in found.values():
            if self.part_name(receipt.part) not in there:
                raise InputError(f"{self.path}/{self.part_name(receipt.part)} is missing; pass --restart to begin anew")
        kept = {self.part_name(number) for number in found} | {self.rejects_name(number) for number in found}
        for folder, names in (self._folder, there), (self._receipts, written):
            for name in names - kept:
                if name.startswith(("part-", "rejects-")) or name.endswith(TEMPORARY) or name == STOP:
                    with contextlib.suppress(FileNotFoundError):  # a process that is still dying removes its own
                        self._storage.remove(f"{folder}/{name}")
        return found

    def write_receipt(self, receipt: Receipt) -> None:
        """Writes the receipt of a part whose files are complete."""
        self._write(f"{self._receipts}/receipt-{receipt.part:06}.json", [json.dumps(vars(receipt)) + "\n"])

    def find_receipt(self, number: int) -> Receipt | None:
        """Returns the receipt of a part; None if there is none.

        Raises:
            InputError: It cannot be read.
        """
        try:
            self._storage.status(f"{self._receipts}/receipt-{number:06}.json")
        except FileNotFoundError:
            return None
        return self._receipt(number)

    def request_stop(self) -> None:
        """Asks all processes of the job, on any machine, to start no more parts."""
        self._write(f"{self._receipts}/{STOP}", [])

    def is_stop_requested(self) -> bool:
        """Returns whether they were asked, since the job was started."""
        try:
            self._storage.status(f"{self._receipts}/{STOP}")
        except FileNotFoundError:
            return False
        return True

    def part(self, number: int) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Opens the file of a part, which exists when the body has succeeded."""
        return self._storage.write(f"{self._folder}/{self.part_name(number)}")

    def rejects(self, number: int) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Opens the file for the rejects of a part."""
        return self._storage.write(f"{self._receipts}/{self.rejects_name(number)}")

    def collect_rejects(self, receipts: Sequence[Receipt]) -> None:
        """Writes rejects.jsonl from the rejects of all parts, in order."""
        with writing_errors(self.path), self._storage.write(f"{self._folder}/{REJECTS}") as output:
            for receipt in receipts:
                if receipt.rejected:
                    with self._storage.open(f"{self._receipts}/{self.rejects_name(receipt.part)}") as file:
                        while data := file.read(1 << 20):
                            output.write(data)

    def part_name(self, number: int) -> str:
        """Returns the name of a part's file."""
        return f"part-{number:06}{self._suffix}"

    @staticmethod
    def rejects_name(number: int) -> str:
        """Returns the name of the file for the rejects of a part."""
        return f"rejects-{number:06}.jsonl"

    def _names(self, folder: str) -> set[str]:
        with reading_errors(self.path):
            return set(self._storage.names(folder))

    def _receipt(self, number: int) -> Receipt:
        path = f"{self._receipts}/receipt-{number:06}.json"
        with reading_errors(path), self._storage.open(path) as file:
            try:
                return Receipt(**json.loads(file.read()))
            except (ValueError, TypeError) as error:
                raise InputError(f"{path} is damaged; delete it, and the part is scored again") from error

    def _check(self, receipt: Receipt) -> None:
        path = f"{self._folder}/{self.part_name(receipt.part)}"
        with reading_errors(path), self._storage.open(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != receipt.sha256:  # type: ignore[arg-type]
                raise InputError(
                    f"{path} is not what the job wrote; delete its receipt in {RECEIPTS}, and the part is scored again"
                )

    def _write(self, path: str, lines: Iterable[str]) -> None:
        with writing_errors(path), self._storage.write(path) as file:
            for line in lines:
                file.write(line.encode())
