"""`python -m runtime.serve`: the classifier as an HTTP service. Needs the extra `serve`."""
