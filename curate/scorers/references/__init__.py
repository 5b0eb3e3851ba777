"""Likeness to a reference or a source."""
