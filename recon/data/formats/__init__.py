"""One module per dataset format; each has ``read(root, findings) -> Listing``."""
