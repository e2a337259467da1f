"""Texts of an exact number of tokens. Imports only the runtime, so that processes can measure the runtime alone."""

from dataclasses import dataclass
from typing import Self

from runtime import Classifier

WORD = "the"


@dataclass(frozen=True)
class SizedTexts:
    """Builds texts by repeating one word.

    Attributes:
        special: Special tokens of every text.
        per_word: Tokens of each word.
        longest: Tokens that the model reads at most.
    """

    special: int
    per_word: int
    longest: int

    @classmethod
    def of(cls, classifier: Classifier) -> Self:
        """Counts the tokens of a classifier's special tokens and of the word."""
        one, two = (classifier.predict(" ".join([WORD] * words)).n_tokens for words in (1, 2))
        per_word = max(1, two - one)  # equal if the model is too short for a second word
        return cls(one - per_word, per_word, classifier.manifest.max_length)

    @property
    def shortest(self) -> int:
        """Tokens of a text of one word."""
        return self.special + self.per_word

    def text(self, tokens: int) -> str:
        """Returns a text of this many tokens, special tokens included, or of as many as the model reads."""
        return " ".join([WORD] * ((min(tokens, self.longest) - self.special) // self.per_word))
