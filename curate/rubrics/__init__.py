"""Rubrics: what a vision-language judge is asked of a sample, and how what it answers becomes values. No network, no torch."""
