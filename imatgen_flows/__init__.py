"""Inverse design of crystals: learn known structures, generate new ones, rank them on a convex hull."""

__version__ = "0.1.0"
