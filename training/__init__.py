"""Litmus training: a labelled text file in, a Hugging Face checkpoint folder out. See `python -m training --help`."""
