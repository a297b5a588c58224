"""From a closed surface, and curves where there are any, to an analytic solid: planes, cylinders, cones, spheres, tori, patches."""
