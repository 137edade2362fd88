"""Server process that evaluates CHGNet for all stand-ins of a user: `python -m imatgen_flows.testing.server DIR S`.

It listens on a Unix socket in DIR, and ends after S seconds without a connection.
"""

from __future__ import annotations

import fcntl
import json
import socketserver
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from imatgen_flows.testing.engines import evaluate_ase


class Chgnet:
    """CHGNet with its weights loaded; it answers one request at a time."""

    def __init__(self) -> None:
        import torch

        from imatgen_flows.energetics.potentials import get_potential

        torch.set_num_threads(1)  # more threads on a shared machine cost more than they bring
        potential = get_potential("chgnet")
        self.name = f"CHGNet {potential.weights}"
        self.calculator = potential.calculator()
        self.turn = threading.Lock()

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer a request `describe` or `evaluate`."""
        symbols, cell, positions = question["symbols"], np.array(question["cell"]), np.array(question["positions"])
        with self.turn:
            if question["question"] == "describe":
                correction = mp2020_correction(symbols, cell, positions, question["hubbards"])
                return {"name": self.name, "correction": correction}
            result = evaluate_ase(self.calculator, symbols, cell, positions)
        moments = np.zeros(len(symbols)) if result.moments is None else result.moments
        return {
            "energy": result.energy,
            "forces": result.forces.tolist(),
            "stress": result.stress.tolist(),
            "moments": moments.tolist(),
        }


def mp2020_correction(symbols: list[str], cell: np.ndarray, positions: np.ndarray, hubbards: dict[str, float]) -> float:
    """Return the energy correction (eV) of the Materials Project 2020 scheme for a calculation with these U.

    It is 0 where the scheme refuses the calculation, for example for a U that is not the Materials Project's.
    """
    from pymatgen.core import Structure
    from pymatgen.entries.compatibility import CompatibilityError, MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    structure = Structure(cell, symbols, positions, coords_are_cartesian=True)
    parameters = {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards, "software": "stand-in"}
    entry = ComputedStructureEntry(structure, 0.0, parameters=parameters)
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    try:
        return float(sum(adjustment.value for adjustment in scheme.get_adjustments(entry)))
    except CompatibilityError:
        return 0.0


class _Handler(socketserver.StreamRequestHandler):
    """Serves one connection until it closes."""

    server: _Server

    def handle(self) -> None:
        with self.server.count:
            self.server.connections += 1
        try:
            for line in self.rfile:
                try:
                    answer = self.server.potential.answer(json.loads(line))
                except Exception as error:  # a request that fails does not end the server
                    answer = {"error": f"{type(error).__name__}: {error}"}
                self.wfile.write(json.dumps(answer).encode() + b"\n")
        except OSError:  # the other side is gone
            pass
        finally:
            with self.server.count:
                self.server.connections -= 1
                self.server.last_used = time.monotonic()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, potential: Chgnet) -> None:
        super().__init__(address, _Handler)
        self.potential = potential
        self.count = threading.Lock()
        self.connections = 0
        self.last_used = time.monotonic()

    def idle(self, seconds: float) -> bool:
        """Tell whether there has been no connection for this time (s)."""
        with self.count:
            return self.connections == 0 and time.monotonic() - self.last_used > seconds


def serve(directory: Path, idle_seconds: float) -> None:
    """Load the weights, then serve requests until the server is idle for too long."""
    warnings.simplefilter("ignore")
    potential = Chgnet()
    address = directory / "socket"
    address.unlink(missing_ok=True)  # of a server that was killed; who started this one holds the lock
    with _Server(str(address), potential) as server:
        ours = address.stat().st_ino
        server.timeout = min(1.0, idle_seconds)
        while True:
            server.handle_request()
            if server.idle(idle_seconds):
                with (directory / "lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # no other server is started meanwhile
                    # another server may have replaced this one, if the process that started this one was killed
                    if address.exists() and address.stat().st_ino == ours:
                        address.unlink()
                    return


if __name__ == "__main__":
    serve(Path(sys.argv[1]), float(sys.argv[2]))
