"""Reference predictions that are committed, so that a change between two releases shows."""
