"""Measures of the pixels, without a network of torch."""
