"""Readers of what judges write: strict where it counts, and never with a number that is not in the text."""
