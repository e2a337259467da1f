"""Makes the int8 and fp16 variants and applies the quality gate."""
