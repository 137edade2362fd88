"""Stand-in for VASP: it reads VASP's inputs and writes VASP's outputs, with energies of a toy potential or CHGNet.

With it the whole path from a flow to a parsed document is tested, faults included, on machines without VASP. Its results
are not DFT: the version in each output is `VERSION`, which a campaign refuses outside tests.
"""

VERSION = "6.4.2-STANDIN"

__all__ = ["VERSION"]
