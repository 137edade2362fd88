"""Hook of mkdocs: formulas become MathML when the site is built, so that no page asks the network for a typesetter."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig

FENCES = "pymdownx.superfences"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let blocks of the language `math`, as the forge writes formulas, be typeset here."""
    fence = {"name": "math", "class": "math", "format": typeset}
    config.mdx_configs.setdefault(FENCES, {}).setdefault("custom_fences", []).append(fence)
    return config


def typeset(source: str, *_: Any, **__: Any) -> str:
    r"""Convert a formula in TeX to a block of MathML.

    Examples
    --------
    >>> "<mfrac>" in typeset(r"\\frac{a}{b}")
    True
    """
    return f'<div class="math">{convert(source, display="block")}</div>'
