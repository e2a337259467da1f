"""The texts that are measured on."""
