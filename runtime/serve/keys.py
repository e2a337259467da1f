"""The file of API keys: one key per line. Only their hashes are kept in memory."""

import hashlib
from pathlib import Path

from ..errors import SettingError

MIN_LENGTH = 16


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Returns the SHA-256 of each key. Empty lines and lines that begin with # are skipped.

    Raises:
        SettingError: The file cannot be read, has no key, or has a short one.
    """
    try:
        lines = [line.strip() for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise SettingError(f"cannot read the keys in {path}: {error.strerror}") from error
    keys = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith(b"#")]
    if not keys:
        raise SettingError(f"{path} has no key; write one per line, for example the output of `openssl rand -hex 32`")
    for number, key in keys:
        if len(key) < MIN_LENGTH or not key.isascii() or b" " in key:
            raise SettingError(f"{path}, line {number}: expected a key of {MIN_LENGTH} ASCII characters or more")
    return tuple(hashlib.sha256(key).digest() for _, key in keys)
