"""The local manager, without a campaign."""

from __future__ import annotations

import warnings

from jobflow import Flow, job

from imatgen_flows.managers.local import _run


@job
def add(first, second):
    return first + second


def test_a_job_prints_no_warning_that_only_jobflow_can_mend(tmp_path):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        _run(Flow([add(1, 2)]), tmp_path)
    assert not [warning for warning in seen if "cd is deprecated" in str(warning.message)]
