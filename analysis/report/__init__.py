"""A run's folder, or several compared, as one HTML page: made from the folders alone, opened without a network."""

from .page import REPORT, write_report

__all__ = ["REPORT", "write_report"]
