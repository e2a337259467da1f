"""The int8 and fp16 variants, and the quality gate that judges them."""
