"""Which texts run together, and what runs in the background."""
