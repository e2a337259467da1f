"""The contenders that run in Litmus's own environment. A contender is a module with one function, `load`.

    def load(request: LoadRequest) -> Scorer

It returns a function that takes a batch of texts and returns their scores, in the order of the checkpoint's labels. The
function does all the work from text to scores, as a service would.
"""
