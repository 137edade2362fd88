"""The box of the images: the one statement of its size."""

BOX = 15.0  # A, edge of the cube in which images show the atoms of one cell (paper, Section S1)
