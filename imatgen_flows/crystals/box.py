"""Limits of the images: the box that shows the atoms of one cell, and the largest crystal that is asked for."""

from __future__ import annotations

BOX = 15.0  # A, edge of the cube in which images show the atoms of one cell, as in the authors' scripts
MAX_SITES = 20  # sites in the primitive cell; default of a campaign, as in the training set of the paper
MAX_EDGE = 10.0  # A, longest edge of the Niggli cell; default of a campaign, as in the training set of the paper
