"""Blocks of networks used by two or more systems."""
