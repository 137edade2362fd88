"""Help texts: how fast they come, and what they list."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

from imatgen_flows.cli import main as cli
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.sources.registry import SOURCES


def commands(command=None, path=()):
    """List every command with its path, subcommands included."""
    command = command or typer.main.get_command(cli.app)
    if hasattr(command, "commands"):
        return [item for name, inner in command.commands.items() for item in commands(inner, (*path, name))]
    return [] if command.hidden else [(path, command)]


def help_of(path):
    result = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "600", "TERMINAL_WIDTH": "600"})
    assert result.exit_code == 0
    return result.output


def test_help_answers_in_under_a_second():
    ours = [sys.executable, "-c", "from imatgen_flows.cli.main import main; main()", "--help"]

    def seconds(command):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - began

    seconds(ours)  # compiles
    assert min(seconds(ours) for _ in range(3)) < 1  # its ratio to an import of typer: benchmarks/help.py


def test_help_imports_nothing_heavy():
    heavy = {"torch", "pymatgen", "jobflow", "numpy", "pydantic", "scipy", "sklearn"}
    code = f"import sys, imatgen_flows.cli.main; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"


def test_help_lists_every_command():
    text = help_of(())
    local = ("init", "check", "plan", "run", "report", "export", "evaluate", "study", "models")
    cluster = ("submit", "jobs", "logs", "status", "retry", "harvest", "cancel", "launchpad")
    assert all(name in text for name in (*local, *cluster))


@pytest.mark.parametrize(
    ("path", "command"), commands(), ids=lambda item: " ".join(item) if isinstance(item, tuple) else ""
)
def test_help_shows_every_default(path, command):
    lines = help_of(path).splitlines()
    for option in command.params:
        if option.param_type_name != "option" or option.is_flag or option.required or option.name == "help":
            continue
        [line] = [line for line in lines if line.lstrip("│* ").startswith(f"{option.opts[0]} ")]
        assert "[default: " in line, f"imatgen {' '.join(path)}: {option.opts[0]} shows no default"
        if isinstance(option.default, int | float | str) and option.default != "" and not callable(option.default):
            value = getattr(option.default, "value", option.default)
            assert f"{value}]" in line, line


def test_choices_of_the_benchmark_come_from_the_registries():
    text = help_of(("evaluate", "baselines"))
    assert all(f"`{entry.name}`" in text for entry in (*SOURCES, *SAMPLERS))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(shell):
    # by the variable that `--show-completion` sets too, which asks the processes above for their shell
    program = "import sys; sys.argv = ['imatgen']; from imatgen_flows.cli.main import main; main()"

    def answer(**asked):
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False).stdout

    script = answer(_IMATGEN_COMPLETE=f"source_{shell}")
    assert "_COMPLETE" in script
    if shell == "bash":
        words = answer(_IMATGEN_COMPLETE="complete_bash", COMP_WORDS="imatgen lo", COMP_CWORD="1")
        assert words.split() == ["logs"]
