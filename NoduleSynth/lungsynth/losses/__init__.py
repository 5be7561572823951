"""Equations used by two or more systems, one function each."""
