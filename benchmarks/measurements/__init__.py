"""One file per measurement: each returns a report and renders it as Markdown."""
