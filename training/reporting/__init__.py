"""Reports as HTML pages and as Markdown, and their plots. Needs no PyTorch."""
