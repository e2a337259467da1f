"""The files that a run writes: checkpoint, report, plots, model card."""
