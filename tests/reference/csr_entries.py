"""The entries of some columns of a CSR matrix, one after the other: slow, and with nothing of the product."""

from __future__ import annotations


def chosen(columns: list[int], places: list[int], lengths: list[int]) -> tuple[list[int], list[bool], list[int]]:
    """How many entries of each row are left, which, and the places of their columns; below 0 a column is left out."""
    counts, is_left, placed = [], [], []
    entry = 0
    for length in lengths:
        before = len(placed)
        for column in columns[entry : entry + length]:
            is_left.append(places[column] >= 0)
            if is_left[-1]:
                placed.append(places[column])
        entry += length
        counts.append(len(placed) - before)
    return counts, is_left, placed
