"""Random damage, from seeds: whatever comes in, an error of ours or the right answer comes out."""
