"""Bridges: recordings to and from what laboratories use. One module a bridge, imported when it is used."""
