"""Stop VASP before its job is killed, by a clock that starts with each calculation."""

from __future__ import annotations

import os
from datetime import datetime

from custodian.vasp.handlers import WalltimeHandler

START = "CUSTODIAN_WALLTIME_START"  # where custodian notes when the first calculation of a process began


class CalculationWalltimeHandler(WalltimeHandler):
    """custodian's handler, but for its clock: that starts anew with each calculation.

    custodian counts from the first calculation of the process, and notes it in the environment for those that follow. Where
    many chains run in one process, each with a walltime of its own, the second would stop as soon as it began.

    Parameters
    ----------
    wall_time : of one calculation, s
    buffer_time : before the walltime, when VASP is told to stop, s
    electronic_step_stop : stop within an ionic step
    """

    def __init__(self, wall_time: float, buffer_time: float = 300, electronic_step_stop: bool = False) -> None:
        self._applied = 0
        noted = os.environ.pop(START, None)
        super().__init__(wall_time, buffer_time, electronic_step_stop)
        del os.environ[START]
        if noted is not None:
            os.environ[START] = noted

    @property
    def n_applied_corrections(self) -> int:
        """Corrections within this calculation; custodian sets them to 0 when it starts one, and so does the clock."""
        return self._applied

    @n_applied_corrections.setter
    def n_applied_corrections(self, number: int) -> None:
        self._applied = number
        if number == 0:
            self.start_time = self.prev_check_time = datetime.now()
