"""The version of this distribution, read by hatch when it builds and by the package at run time."""

__version__ = "0.1.0"
