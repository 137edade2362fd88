"""The report of a finished run: one HTML file, figures, and exported structures."""

from imatgen_flows.report.export import export_run
from imatgen_flows.report.figures import draw_figures
from imatgen_flows.report.html import build_report
from imatgen_flows.report.run_directory import RunDirectory

__all__ = ["RunDirectory", "build_report", "draw_figures", "export_run"]
