"""What a run writes: checkpoint, report, plots, model card."""
