"""Random damage from seeds: every case ends in a LitmusError or in a valid prediction."""
