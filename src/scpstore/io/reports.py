"""Whose report a table is, told by the names of its columns."""

from __future__ import annotations

from collections.abc import Iterable

DIANN, SPECTRONAUT, MAXQUANT = "DIA-NN report", "Spectronaut report", "MaxQuant proteinGroups"


def report_of(columns: Iterable[str]) -> str | None:
    """Which of the reports has such columns; None: a table of another kind."""
    names = set(columns)
    if "Precursor.Id" in names or "Protein.Group" in names:
        return DIANN
    if "R.FileName" in names or {"PG.ProteinGroups", "EG.PrecursorId"} & names:
        return SPECTRONAUT
    return MAXQUANT if {"Protein IDs", "Majority protein IDs"} <= names else None
