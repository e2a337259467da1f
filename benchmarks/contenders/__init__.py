"""The contenders that run in Litmus's own environment. A contender is a module with the function `load`.

    def load(request: LoadRequest) -> Scorer

It returns a function that takes a batch of texts and returns their scores, in the order of the checkpoint's labels. The
function does all the work from text to scores, as a service would.

A contender that has to convert or quantize the checkpoint does so in a second function, once, before it is deployed:

    def prepare(request: LoadRequest) -> None

It writes what `load` needs into `request.work_dir`. It runs in a process of its own, so that it adds nothing to the
start and the memory of the process that is measured.
"""
