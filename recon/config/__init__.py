"""What a run is made of: values, presets, and the files they are kept in."""
