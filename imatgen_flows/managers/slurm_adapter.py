"""The queue adapter by which FireWorks submits: it asks `sbatch` for the bare id, and stops where it gets none."""

from __future__ import annotations

import shlex
from pathlib import Path

from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from fireworks.utilities.fw_utilities import log_fancy

from imatgen_flows.errors import ImatgenError
from imatgen_flows.managers import slurm
from imatgen_flows.managers.dispatcher import STOPPED, clear_fault, record_fault


class SlurmAdapter(CommonAdapter):
    """SLURM, whose job ids are never guessed.

    FireWorks' own adapter looks for the words "Submitted batch job", and takes any other answer for a refusal: the job of
    that answer stays in the queue, and the dispatcher submits the next one ten seconds later, for ever.
    """

    _fw_name = "{{imatgen_flows.managers.slurm_adapter.SlurmAdapter}}"

    def submit_to_queue(self, script_file: str) -> str | None:
        """Submit a batch script, and return the id of its job; None where SLURM refuses it, so that it is tried again.

        Raises
        ------
        SystemExit
            Where SLURM took the job, but its answer cannot be read. It passes through the handlers of FireWorks, which
            would take the reservation back: the firework stays reserved for the job, which `retry` finds by its directory.
        """
        directory = Path(self.template_file).parent
        try:
            job_id = slurm.submit(script_file)
        except slurm.UnreadableAnswer as error:
            cure = f"`imatgen check --cluster {shlex.quote(str(directory))}` tries it; then start the dispatcher again"
            self._report(directory, f"The dispatcher has stopped: {error}. {cure}.")
            raise SystemExit(STOPPED) from error
        except ImatgenError as error:
            self._report(directory, f"A job could not be submitted, and is tried again: {error}")
            return None
        clear_fault(directory)
        return job_id

    def _report(self, directory: Path, sentence: str) -> None:
        """Write a fault to the log, and where `imatgen status` finds it."""
        log_fancy(self.get_qlogger(f"qadapter.{self.q_name}"), [sentence], "error")
        record_fault(directory, sentence)
