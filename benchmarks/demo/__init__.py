"""What `make setup` and `make demo` run."""
