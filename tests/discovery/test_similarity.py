"""Finding equal crystals: as pymatgen's matcher does, but faster."""

from __future__ import annotations

import numpy as np
import pytest
from conftest_discovery import *
