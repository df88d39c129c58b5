"""The path by which scripts import what reads a recording's place in the retina."""

from hdmea.geometry.retina import DVNTPosition, parse_dvnt_from_center_xy

__all__ = ["DVNTPosition", "parse_dvnt_from_center_xy"]
