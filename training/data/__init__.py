"""From a labelled file to cleaned, encoded splits."""
