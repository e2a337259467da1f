"""The contenders that run in Litmus's own environment. A contender is a module with one function, `load`.

    def load(job: Job) -> Callable[[list[str]], list[list[float]]]

It returns a function from texts, run as one batch, to their scores in the order of the checkpoint's labels: all the way
from text to scores, as a service would call it.
"""
