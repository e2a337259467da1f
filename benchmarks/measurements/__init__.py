"""One file per measurement. Each returns a report and renders it as Markdown."""
