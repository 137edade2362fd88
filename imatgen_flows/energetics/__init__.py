"""Energies of crystals: potentials, relaxation, reference phases, convex hulls and checks of DFT results."""
