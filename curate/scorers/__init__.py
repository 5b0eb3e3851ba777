"""Scorers: the networks inside reward raters. The only package that imports torch."""
