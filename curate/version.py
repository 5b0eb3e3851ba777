"""The version of the package, where everything that says it finds it."""

__version__ = "0.1.0"
