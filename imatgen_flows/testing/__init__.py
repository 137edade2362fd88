"""A stand-in for VASP: it reads VASP's inputs and writes VASP's outputs, with energies from a toy or from CHGNet.

It lets the whole path from a flow to a parsed document be tested, faults included, where there is no VASP. Its results
are no DFT, and say so: the version in each output is `VERSION`, which the campaign refuses outside tests.
"""

VERSION = "6.4.2-STANDIN"

__all__ = ["VERSION"]
