"""The benchmark report: every measurement of an artifact on one page, with a verdict."""
