"""Texts of exactly so many tokens. Imports the runtime alone: processes that measure it know nothing else."""

from dataclasses import dataclass
from typing import Self

from runtime import Classifier

WORD = "the"


@dataclass(frozen=True)
class SizedTexts:
    """Makes texts of one word.

    Attributes:
        special: Special tokens of every text.
        per_word: Tokens of each word.
        longest: Tokens that the model reads.
    """

    special: int
    per_word: int
    longest: int

    @classmethod
    def of(cls, classifier: Classifier) -> Self:
        """Finds out how a classifier counts."""
        one, two = (classifier.predict(" ".join([WORD] * words)).n_tokens for words in (1, 2))
        per_word = max(1, two - one)  # both are cut to one length if the model reads no second word
        return cls(one - per_word, per_word, classifier.manifest.max_length)

    @property
    def shortest(self) -> int:
        """Tokens of a text of one word."""
        return self.special + self.per_word

    def text(self, tokens: int) -> str:
        """Returns a text of so many tokens, special ones included, or as many as the model reads."""
        return " ".join([WORD] * ((min(tokens, self.longest) - self.special) // self.per_word))
