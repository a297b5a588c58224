"""2D edges of photographs: given, found, or guided by a surface."""
