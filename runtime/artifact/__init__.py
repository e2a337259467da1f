"""The artifact folder: its manifest, its files and their hashes, and how one is published."""
