"""Files of texts and files of predictions."""
