"""From a closed surface, and curves where there are any, to an analytic boundary representation: planes, cylinders, cones, spheres, tori."""
