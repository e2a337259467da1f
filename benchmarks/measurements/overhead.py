"""The overhead of `predict` over its own tokenizer and session called directly.

`latency` runs this in a fresh process. It imports only the runtime and NumPy.
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import Classifier, load

from ..data.sized_texts import SizedTexts

TOKENS = 30
CALLS = 1500
WARM_UP_CALLS = 50
SEED = 7


def measure(model: str, threads: int, calls: int = CALLS) -> dict[str, Any]:
    """Times both ways on one text, call by call in random order.

    Args:
        model: Artifact folder.
        threads: Threads of the session.
        calls: Calls of each way.

    Returns:
        Tokens of the text, number of calls, and medians in microseconds.
    """
    classifier = load(model, provider="cpu", threads=threads)
    text = SizedTexts.of(classifier).text(TOKENS)
    timed: dict[Callable[[str], Any], list[float]] = {bare(classifier): [], classifier.predict: []}
    order = list(timed)
    rng = random.Random(SEED)  # noqa: S311 - an order, not a secret
    for turn in range(WARM_UP_CALLS + calls):
        rng.shuffle(order)
        for function in order:
            start = time.perf_counter()
            function(text)
            elapsed_s = time.perf_counter() - start
            if turn >= WARM_UP_CALLS:
                timed[function].append(elapsed_s)
    bare_us, predict_us = (statistics.median(seconds) * 1e6 for seconds in timed.values())
    return {
        "tokens": classifier.predict(text).n_tokens,
        "calls": calls,
        "bare_us": bare_us,
        "predict_us": predict_us,
        "overhead_us": predict_us - bare_us,
    }


def bare(classifier: Classifier) -> Callable[[str], npt.NDArray[np.float32]]:
    """Returns a function from text to logits as one would write it by hand, without checks or decisions."""
    tokenizer = classifier._tokenizer._fast  # noqa: SLF001 - both ways must use the same objects to be comparable
    session = classifier._session._session  # noqa: SLF001 - as above
    assert session is not None, "the classifier is open"
    names = [node.name for node in session.get_inputs()]

    def logits(text: str) -> npt.NDArray[np.float32]:
        encoding = tokenizer.encode(text)
        ids = np.array([encoding.ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if "token_type_ids" in names:
            inputs["token_type_ids"] = np.array([encoding.type_ids], np.int64)
        outputs: list[npt.NDArray[np.float32]] = session.run(["logits"], inputs)
        return outputs[0]

    return logits
