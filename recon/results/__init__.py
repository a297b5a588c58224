"""What a run leaves: mesh, wireframe, figures, pictures, films, and the field as a function."""
