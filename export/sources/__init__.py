"""What is exported: a checkpoint, and the texts to calibrate and judge it on."""
