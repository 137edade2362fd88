"""Energies of crystals: potentials, relaxation, reference phases, convex hulls and the checks of DFT results."""
