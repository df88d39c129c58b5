"""What the page of a population says of its types."""

from __future__ import annotations

import re

import polars as pl

from hdmea.report import population


def test_each_type_is_said_to_be_stable_small_or_none() -> None:
    types = pl.DataFrame(
        {
            "group": ["direction selective"] * 3,
            "type": ["direction selective 0", "direction selective 1", "direction selective 2"],
            "cells": [90, 4, 3],
            "stability": [0.99, 0.91, 0.6],
            "is_stable": [True, True, False],
            "is_small": [False, True, True],
            "recordings": [["a"]] * 3,
            "shares": [[0.3], [0.02], [0.01]],
        }
    )
    page = population._types(types, {})
    said = re.findall(
        r'<th scope="row">([^<]+)</th><td class="number">\d+</td>\s*<td class="number">([^<]+)</td>', page
    )
    assert said == [
        ("direction selective 0", "0.99"),
        ("direction selective 1", "0.91 (may be of another group)"),
        ("direction selective 2", "0.60 (no type)"),
    ]
    assert "(may be of another group)" not in population._types(types.drop("is_small"), {})
