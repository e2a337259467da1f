"""The regression guard of `make bench`: Litmus's own code may add only little to the tokenizer and the session it uses.

Every way of predicting is compared with the same work done by hand, on the same tokenizer, session and texts, call by
call in random order in one process. The ratio of the two hardly depends on the machine or on its other work, so it can
be held to a limit, which a wall time cannot.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime import Classifier
from runtime.scheduling.batching import batches

from ..data.sized_texts import SizedTexts
from .overhead import bare

TOKENS = 126
TEXTS = 24
CALLS = 400
WARM_UP_CALLS = 20
SEED = 7


@dataclass(frozen=True)
class Guarded:
    """One way of predicting, compared with the same work by hand.

    Attributes:
        ratio: Median of the ratios of successive calls.
        limit: What the ratio must stay below.
    """

    ratio: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the ratio is below the limit."""
        return self.ratio < self.limit


# Half-way between what was measured (MiniLM int8, two threads of an AMD EPYC, 2026-11-29: 1.020, 1.004 and 1.002) and
# what a delay of five percent gave (1.078, 1.049 and 1.049).
LIMITS = {"predict": 1.045, "predict_many": 1.027, "predict_iter": 1.027}


def measure(classifier: Classifier, calls: int = CALLS) -> dict[str, Guarded]:
    """Measures every way of predicting.

    Args:
        classifier: A loaded classifier.
        calls: Calls of each way and of its counterpart.
    """
    sized = SizedTexts.of(classifier)
    text = sized.text(TOKENS)
    rng = random.Random(SEED)  # noqa: S311 - lengths, not secrets
    texts = [sized.text(rng.randint(sized.shortest, min(TOKENS, sized.longest))) for _ in range(TEXTS)]
    by_hand, many_by_hand = bare(classifier), bare_many(classifier)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "predict": (lambda: classifier.predict(text), lambda: by_hand(text)),
        "predict_many": (lambda: classifier.predict_many(texts), lambda: many_by_hand(texts)),
        "predict_iter": (lambda: list(classifier.predict_iter(texts)), lambda: many_by_hand(texts)),
    }
    counts = {"predict": calls, "predict_many": calls // 3, "predict_iter": calls // 3}
    return {name: Guarded(_ratio(*pair, counts[name], rng), LIMITS[name]) for name, pair in pairs.items()}


def bare_many(classifier: Classifier) -> Callable[[Sequence[str]], Any]:
    """Returns a function from texts to logits as one would write it by hand: the same batches, without checks."""
    tokenizer = classifier._tokenizer._fast  # noqa: SLF001 - both ways must use the same objects to be comparable
    session = classifier._session._session  # noqa: SLF001 - as above
    assert session is not None, "the classifier is open"
    names = [node.name for node in session.get_inputs()]

    def logits(texts: Sequence[str]) -> Any:
        encodings = [tokenizer.encode(text) for text in texts]
        found = np.empty((len(texts), len(classifier.labels)), np.float32)
        for positions in batches([len(encoding.ids) for encoding in encodings], classifier._batch_tokens):  # noqa: SLF001
            chosen = [encodings[position] for position in positions]
            shape = len(chosen), max(len(encoding.ids) for encoding in chosen)
            arrays = {name: np.zeros(shape, np.int64) for name in names}
            for row, encoding in enumerate(chosen):
                size = len(encoding.ids)
                arrays["input_ids"][row, :size] = encoding.ids
                arrays["attention_mask"][row, :size] = 1
                if "token_type_ids" in names:
                    arrays["token_type_ids"][row, :size] = encoding.type_ids
            found[positions] = session.run(["logits"], arrays)[0]
        return found

    return logits


def _ratio(ours: Callable[[], object], by_hand: Callable[[], object], calls: int, rng: random.Random) -> float:
    ratios = []
    for turn in range(WARM_UP_CALLS + calls):
        seconds = {}
        for work in rng.sample([ours, by_hand], 2):
            start = time.perf_counter()
            work()
            seconds[work] = time.perf_counter() - start
        if turn >= WARM_UP_CALLS:
            ratios.append(seconds[ours] / seconds[by_hand])
    return statistics.median(ratios)
