"""Services to compare `python -m runtime.serve` with. Each module is a command: PORT ARTIFACT CHECKPOINT THREADS."""
