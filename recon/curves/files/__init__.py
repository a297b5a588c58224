"""Curves and wireframes, and the files they are written to."""
