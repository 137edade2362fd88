"""Executable of the stand-in: `python -m imatgen_flows.testing.vasp [--variant std|gam|ncl] [--engine toy|chgnet]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

from imatgen_flows.testing import faults
from imatgen_flows.testing.calculation import Calculation, IonicStep
from imatgen_flows.testing.electrons import irreducible, synthetic_bands
from imatgen_flows.testing.engines import Evaluation, start_engine
from imatgen_flows.testing.inputs import VaspError, read_inputs
from imatgen_flows.testing.outputs import Outputs
from imatgen_flows.testing.relaxation import EvaluatedCell, is_converged, is_stop_requested, relaxation_path
from imatgen_flows.testing.settings import RunSettings, read_settings

CONVERGED = "reached required accuracy - stopping structural energy minimisation"
STOPPED = "soft stop encountered!  aborting job ..."


def run(directory: Path, engine_name: str = "toy", variant: str = "std", idle_seconds: float = 600.0) -> None:
    """Run the stand-in on VASP's inputs in a directory, and write VASP's outputs there.

    Parameters
    ----------
    directory : holds INCAR, POSCAR, POTCAR and, without KSPACING, KPOINTS
    engine_name : ``toy`` or ``chgnet``
    variant : which of VASP's executables this is: ``std``, ``gam`` (Gamma point only) or ``ncl``
    idle_seconds : how long a CHGNet server that is started here outlives its last user

    Raises
    ------
    VaspError
        Where VASP would stop, or the stand-in does not support what the inputs ask for.
    """
    inputs = read_inputs(directory)
    settings = read_settings(inputs)
    system = inputs.incar.get("SYSTEM", "")
    fault = faults.plan_fault(system, faults.count_attempt(directory, system))
    if fault.name == "crash":
        faults.crash()
    points = irreducible(inputs.crystal, inputs.mesh, inputs.incar.get("ISYM", 2) > 0)
    if variant == "ncl":
        raise VaspError("vasp_ncl: moments that are not collinear are not known to the stand-in.")
    if variant == "gam" and np.abs(points.fractional).max() > 0:
        raise VaspError("vasp_gam: there are k-points other than Gamma.")
    crystal = inputs.crystal
    engine = start_engine(engine_name, crystal, settings.hubbards, idle_seconds)
    outputs = Outputs(Calculation(inputs, settings, points, engine.name), directory)

    before: EvaluatedCell | None = None
    is_announced, started = False, time.time()
    for number, geometry in enumerate(relaxation_path(crystal, settings, engine.evaluate), 1):
        if fault.name == "slow":
            time.sleep(faults.SLOW_SECONDS)
        step = _report(number, geometry, settings, fault.name == "scf", time.time() - started)
        outputs.begin_step(step)
        if number >= fault.step or settings.static:
            is_announced = faults.apply_fault(fault, is_announced)
        converged = fault.name != "nsw" and is_converged(settings, before, geometry)
        stopped = not converged and is_stop_requested(directory)
        last = converged or stopped or number >= settings.steps
        moment = float(step.moments.sum())
        outputs.end_step(synthetic_bands(crystal, settings, points, moment, fault.name == "metal") if last else None)
        if last:
            break
        before, started = geometry, time.time()
    if fault.name == "truncate":
        sys.stdout.flush()
        os._exit(0)
    outputs.finish(geometry, "" if settings.static else CONVERGED if converged else STOPPED if stopped else "")
    if fault.name == "emptycontcar":
        (directory / "CONTCAR").write_text("")


def _report(
    number: int, geometry: EvaluatedCell, settings: RunSettings, unconverged: bool, seconds: float
) -> IonicStep:
    """Add synthetic electronic steps and moments to a geometry."""
    steps = settings.electronic_steps if unconverged else max(1, min(settings.electronic_steps - 1, 5))
    energy, ions = geometry.result.energy, len(geometry.fractional)
    energies = [energy + ions * 0.05**number for number in range(1, steps)] + [energy]
    return IonicStep(number, geometry, _moments(geometry.result, settings), tuple(energies), not unconverged, seconds)


def _moments(result: Evaluation, settings: RunSettings) -> np.ndarray:
    """Return the moments of the ions: those of the engine with the signs of MAGMOM, or MAGMOM where the engine has none."""
    asked = np.array(settings.moments)
    if result.moments is None or not settings.spin:
        return asked
    return result.moments * np.where(asked < 0, -1, 1)


def main(arguments: list[str] | None = None) -> None:
    """Run in the working directory; an error ends the program with exit status 1, as it ends VASP."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("std", "gam", "ncl"), default="std")
    parser.add_argument("--engine", choices=("toy", "chgnet"), default="toy")
    parser.add_argument("--idle-seconds", type=float, default=600.0)
    chosen = parser.parse_args(arguments)
    try:
        run(Path.cwd(), chosen.engine, chosen.variant, chosen.idle_seconds)
    except VaspError as error:
        print(f" ERROR: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
