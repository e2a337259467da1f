"""The folder of a job's output: parts, receipts, and the record of the run.

run.json                         what is scored, by what, and how far it is
part-000000.jsonl                predictions
receipts/plan.jsonl              the parts
receipts/receipt-000000.json     written last: a part without a receipt does not exist
receipts/rejects-000000.jsonl    rows of the part that could not be scored, if there are any
rejects.jsonl                    all of them, when the job is finished
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from ..files.atomic_file import locked
from ..files.storage import TEMPORARY, Storage, open_storage, reading_errors, writing_errors
from .plan import Part

RUN, PLAN, REJECTS, RECEIPTS, LOCK = "run.json", "plan.jsonl", "rejects.jsonl", "receipts", "lock"
STOP = "stop"
RECEIPT = re.compile(r"receipt-(\d{6,})\.json")
PROCESS = r"(\.\d+\.tmp)?"  # of a file that a process was writing
OWN = re.compile(r"(run\.json|rejects\.jsonl|part-\d{6,}\.(jsonl|csv|tsv|parquet))" + PROCESS)
OWN_RECEIPT = re.compile(r"(lock|stop|plan\.jsonl|receipt-\d{6,}\.json|rejects-\d{6,}\.jsonl)" + PROCESS)
TEMPORARY_RUN = re.compile(r"run\.json\.\d+\.tmp")
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
        rejects_sha256: Hash of the part's rejects; "" if there are none.
    """

    part: int
    rows: int
    scored: int
    rejected: int
    repeated: int
    size_bytes: int
    sha256: str
    rejects_sha256: str

    def __post_init__(self) -> None:
        """Checks what was read from a file.

        Raises:
            ValueError: The numbers do not add up.
        """
        numbers = (self.part, self.rows, self.scored, self.rejected, self.repeated, self.size_bytes)
        if not all(isinstance(number, int) for number in numbers) or self.rows != self.scored + self.rejected:
            raise ValueError("the numbers of a receipt do not add up")


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

    def check(self) -> None:
        """Checks that the folder is empty, or the output of a job; changes nothing.

        Raises:
            InputError: The folder has other files, or cannot be read.
        """
        names, inside = self._names(self._folder), self._names(self._receipts)
        foreign = sorted(name for name in inside if OWN_RECEIPT.fullmatch(name) is None)
        if RUN not in names:
            foreign += sorted(name for name in names if TEMPORARY_RUN.fullmatch(name) is None)
            foreign += sorted(name for name in inside if name not in (LOCK, PLAN) and not name.endswith(TEMPORARY))
        elif not self._is_job(has_receipts=PLAN in inside):
            foreign.append(RUN)
        if foreign:
            raise InputError(
                f"{self.path} has files that are not of a job, such as {foreign[0]}; choose another folder"
            )

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

    def contains(self, storage: Storage, path: str) -> bool:
        """Returns whether a file is in the folder."""
        if storage.is_local and self._storage.is_local:
            return Path(path).resolve().is_relative_to(Path(self._folder).resolve())
        return storage.is_local == self._storage.is_local and path.startswith(self._folder + "/")

    def is_in(self, storage: Storage, path: str) -> bool:
        """Returns whether the folder is in another one."""
        if storage.is_local and self._storage.is_local:
            return Path(path).is_dir() and Path(self._folder).resolve().is_relative_to(Path(path).resolve())
        return storage.is_local == self._storage.is_local and self._folder.startswith(path.rstrip("/") + "/")

    def read_run(self) -> dict[str, Any] | None:
        """Returns the content of run.json; None if there is none.

        Raises:
            InputError: It cannot be read.
        """
        if RUN not in self._names(self._folder):
            return None
        found = self._parse_run()
        if found is None:
            raise InputError(f"{self.path}/{RUN} is damaged; pass --restart to begin anew")
        return found

    def write_run(self, content: dict[str, Any]) -> None:
        """Writes run.json."""
        self._write(f"{self._folder}/{RUN}", [json.dumps(content, indent=2, ensure_ascii=False) + "\n"])

    def read_plan(self, sha256: str | None) -> list[Part]:
        """Returns the parts.

        Args:
            sha256: What `write_plan` returned.

        Raises:
            InputError: The plan is missing, cannot be read, or is another one.
        """
        path = f"{self.path}/{RECEIPTS}/{PLAN}"
        if PLAN in self._names(self._receipts):
            with reading_errors(path), self._storage.open(f"{self._receipts}/{PLAN}") as file:
                content = file.read()
            if hashlib.sha256(content).hexdigest() == sha256:
                return [Part.from_json(line) for line in content.decode().splitlines()]
        raise InputError(f"{path} is damaged or missing; pass --restart to begin anew")

    def write_plan(self, parts: Iterable[Part]) -> str:
        """Writes the parts and returns the hash of the file."""
        content = "".join(part.to_json() + "\n" for part in parts)
        self._write(f"{self._receipts}/{PLAN}", [content])
        return hashlib.sha256(content.encode()).hexdigest()

    def clear(self) -> None:
        """Removes everything that a job writes: receipts first and run.json last, so that a job can be resumed."""
        with writing_errors(self.path):
            for name in self._names(self._receipts) - {LOCK}:
                if OWN_RECEIPT.fullmatch(name):
                    self._storage.remove(f"{self._receipts}/{name}")
            for name in sorted(self._names(self._folder), key=RUN.__eq__):
                if OWN.fullmatch(name):
                    self._storage.remove(f"{self._folder}/{name}")

    def receipts(self, parts: Sequence[Part]) -> dict[int, Receipt]:
        """Returns the receipts of the parts that are complete, and removes what is left of others.

        Parts and rejects in a local folder are compared with their hashes.

        Args:
            parts: The plan.

        Raises:
            InputError: A receipt cannot be read or is of another plan, or a part is not what its receipt says.
        """
        there, written = self._names(self._folder), self._names(self._receipts)
        matches = map(RECEIPT.fullmatch, written)
        numbers = sorted(int(match[1]) for match in matches if match is not None)
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(numbers, pool.map(self._receipt, numbers), strict=True))
            for number, receipt in found.items():
                if number >= len(parts) or receipt.rows != parts[number].span.rows:
                    raise InputError(f"{self._receipt_path(number)} is not of this plan; pass --restart to begin anew")
                if self.part_name(number) not in there:
                    raise self._altered(f"{self.path}/{self.part_name(number)}")
                if receipt.rejected and self.rejects_name(number) not in written:
                    raise self._altered(f"{self.path}/{RECEIPTS}/{self.rejects_name(number)}")
            if self._storage.is_local:
                list(pool.map(self._check, found.values()))
        self.clean(found)
        return found

    def clean(self, numbers: Iterable[int]) -> None:
        """Removes what a job left of other parts than these, and its temporary files."""
        numbers = [*numbers]
        kept = {*map(self.part_name, numbers), *map(self.rejects_name, numbers), RUN, REJECTS, PLAN, LOCK}
        for folder, own in (self._folder, OWN), (self._receipts, OWN_RECEIPT):
            for name in self._names(folder) - kept:
                if own.fullmatch(name) and not RECEIPT.fullmatch(name):
                    with contextlib.suppress(FileNotFoundError):  # a process that is still dying removes its own
                        self._storage.remove(f"{folder}/{name}")

    def write_receipt(self, receipt: Receipt) -> None:
        """Writes the receipt of a part whose files are complete."""
        self._write(self._receipt_path(receipt.part), [json.dumps(vars(receipt)) + "\n"])

    def find_receipt(self, number: int) -> Receipt | None:
        """Returns the receipt of a part; None if there is none.

        Raises:
            InputError: It cannot be read.
        """
        try:
            self._storage.status(self._receipt_path(number))
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

    def _is_job(self, *, has_receipts: bool) -> bool:
        """Returns whether run.json is a job's; a damaged one is, if there are receipts beside it."""
        found = self._parse_run()
        return has_receipts if found is None else "schema" in found and "artifact" in found

    def _parse_run(self) -> dict[str, Any] | None:
        with reading_errors(f"{self.path}/{RUN}"), self._storage.open(f"{self._folder}/{RUN}") as file:
            try:
                found = json.loads(file.read())
            except ValueError:
                return None
        return found if isinstance(found, dict) else None

    def _receipt(self, number: int) -> Receipt:
        path = self._receipt_path(number)
        with reading_errors(path), self._storage.open(path) as file:
            try:
                found = Receipt(**json.loads(file.read()))
                if found.part == number:
                    return found
            except (ValueError, TypeError):
                pass
        raise InputError(f"{path} is damaged; delete it, and the part is scored again")

    def _receipt_path(self, number: int) -> str:
        return f"{self._receipts}/receipt-{number:06}.json"

    def _check(self, receipt: Receipt) -> None:
        hashes = {f"{self._folder}/{self.part_name(receipt.part)}": receipt.sha256}
        if receipt.rejected:
            hashes[f"{self._receipts}/{self.rejects_name(receipt.part)}"] = receipt.rejects_sha256
        for path, sha256 in hashes.items():
            with reading_errors(path), self._storage.open(path) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:  # type: ignore[arg-type]
                    raise self._altered(path)

    @staticmethod
    def _altered(path: str) -> InputError:
        return InputError(
            f"{path} is not what the job wrote, or missing; delete its receipt, and the part is scored again"
        )

    def _write(self, path: str, lines: Iterable[str]) -> None:
        with writing_errors(path), self._storage.write(path) as file:
            for line in lines:
                file.write(line.encode())
