"""Jobs over files: classify records and write rows."""
