"""The command line, called within the process of the tests."""

from __future__ import annotations

import sys

import pytest

from imatgen_flows.cli import main as cli


@pytest.fixture
def imatgen(capsys):
    """Run the command with some arguments; return its exit status, output and errors."""

    def call(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["imatgen", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                cli.main()
                raise SystemExit(0)
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call
