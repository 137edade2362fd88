"""Extension of griffe: read our docstrings as they are meant.

Signatures have the types. So a line `fmax : largest force that is left, eV/A` gives the meaning of a parameter, where
numpydoc expects its type, and the section *Returns* is a text. Both are brought into the form that griffe reads.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Class, Extension, Function

SECTION = re.compile(r"^(Parameters|Attributes|Returns)\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", re.DOTALL | re.MULTILINE)
ENTRY = re.compile(r"^(\w+) : ", re.MULTILINE)


class MeaningsNotTypes(Extension):
    """Move what stands after the colon into the description, and let a text be what is returned."""

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Read the docstring of a function."""
        self._read(func)

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Read the docstring of a class."""
        self._read(cls)

    @staticmethod
    def _read(item: Function | Class) -> None:
        def rewrite(section: re.Match[str]) -> str:
            name, body = section[1], section[2]
            if name == "Returns":
                text = "".join(f"    {line.strip()}\n" for line in body.strip().splitlines())
                return f"{name}\n{'-' * len(name)}\n{getattr(item, 'returns', None)}\n{text}\n"
            return f"{name}\n{'-' * len(name)}\n" + ENTRY.sub(r"\1\n    ", body)

        if item.docstring:
            item.docstring.value = SECTION.sub(rewrite, item.docstring.value)
