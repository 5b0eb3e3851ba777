"""Cross-attention between a picture and its prompt."""
