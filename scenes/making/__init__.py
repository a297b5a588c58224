"""What the pictures of a scene depend on: solids, materials, light, cameras, ray casting."""
