"""Many recordings as one population of cells: traces, scalars, response features, matches, types, mosaics.

A module a question; `hdmea.population.build` asks all of them of a directory of recordings. docs/population.md.
"""
