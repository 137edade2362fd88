"""The crystal prototypes that ship with pymatgen: the AFLOW library of Mehl et al., Comput. Mater. Sci. 136, S1 (2017)."""

from __future__ import annotations

import warnings
from typing import Any
from unittest.mock import patch


def aflow_prototypes() -> list[dict[str, Any]]:
    """Return the library as pymatgen has it: for each prototype its `tags` and its structure, `snl`.

    pymatgen checks the BibTeX of each of its 288 references when the library is imported, which takes four fifths of the
    import (7 of 8.5 s of one core). The references ship with it and do not change, so that the check is left out.
    """
    with warnings.catch_warnings(), patch("pymatgen.util.provenance.is_valid_bibtex", return_value=True):
        warnings.simplefilter("ignore")
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
    return AFLOW_PROTOTYPE_LIBRARY
