"""Geometry from the shape of responses: soma, axon, receptive field, model, and where they are to each other.

Pure functions on arrays; results are frozen data classes, `hdmea.geometry.records` has them as dicts under the names
that files use. docs/geometry.md says how each is defined and how accurate it is.
"""

from hdmea.geometry.alignment import Alignment, Pairs, align, to_movie_pixels, usable_pairs
from hdmea.geometry.axon import Axon, track_axon
from hdmea.geometry.electrical_image import CleanImage, ImageScale, clean_image
from hdmea.geometry.field_fits import GaussianFit, SurroundFit
from hdmea.geometry.ln_model import LNModel, fit_ln_models
from hdmea.geometry.movie_correlation import MovieCorrelation, movie_correlation
from hdmea.geometry.neighbours import Neighbour
from hdmea.geometry.nerve_head import NerveHead, SomaPolar, find_nerve_head, soma_polar
from hdmea.geometry.noise_movie import FoldPlan, NoiseMovie
from hdmea.geometry.receptive_field import ReceptiveField, hold_frames, receptive_field
from hdmea.geometry.records import (
    alignment_from_record,
    alignment_record,
    axon_record,
    field_record,
    head_record,
    model_record,
    second_order_record,
    soma_record,
)
from hdmea.geometry.second_order import SecondOrderField, second_order_fields
from hdmea.geometry.soma import SomaGeometry, soma_geometry

__all__ = [
    "Alignment",
    "Axon",
    "CleanImage",
    "FoldPlan",
    "GaussianFit",
    "ImageScale",
    "LNModel",
    "MovieCorrelation",
    "Neighbour",
    "NerveHead",
    "NoiseMovie",
    "Pairs",
    "ReceptiveField",
    "SecondOrderField",
    "SomaGeometry",
    "SomaPolar",
    "SurroundFit",
    "align",
    "alignment_from_record",
    "alignment_record",
    "axon_record",
    "clean_image",
    "field_record",
    "find_nerve_head",
    "fit_ln_models",
    "head_record",
    "hold_frames",
    "model_record",
    "movie_correlation",
    "receptive_field",
    "second_order_fields",
    "second_order_record",
    "soma_geometry",
    "soma_polar",
    "soma_record",
    "to_movie_pixels",
    "track_axon",
    "usable_pairs",
]
