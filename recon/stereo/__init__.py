"""Depth before the field: stereo between the photographs, the points and the start that come of it, and their part in training."""
