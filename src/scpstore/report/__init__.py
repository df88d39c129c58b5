"""A container as one HTML page: `write_report`, and the command `scptensor report`."""

from scpstore.report.write import write_report

__all__ = ["write_report"]
