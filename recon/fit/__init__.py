"""Fitting a field directly to a picture or to a shape: the tasks of the radial-function papers."""
