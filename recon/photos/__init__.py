"""From photographs or a video without cameras to a dataset: decode, match, map, check, orient, scale, write.

The search for cameras is pycolmap's, which ends its process on some inputs and cannot be cancelled everywhere: it runs in a child
(:mod:`recon.photos.child`), and this package never imports it.
"""
