"""From a trained edge field and 2D edges to a wireframe."""
