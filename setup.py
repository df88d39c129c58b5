"""The list of compiled extensions; everything else is in pyproject.toml."""

import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# Fused multiply-add would make a result depend on the CPU that computed it.
FLAGS = ["/O2"] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-fno-math-errno"]
SOURCES = sorted(Path("ext").rglob("*.pyx"))
DIRECTORIES = ["ext/kernels", "ext/codecs", "ext/hdf5/encode", "ext/hdf5/decode"]
HEADERS = [path.as_posix() for suffix in ("*.h", "*.pxi") for path in sorted(Path("ext").rglob(suffix))]

EXTENSIONS = [
    Extension(
        f"h5burst._ext.{source.stem}",
        [source.as_posix()],
        include_dirs=[*DIRECTORIES, numpy.get_include()],
        depends=HEADERS,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
    )
    for source in SOURCES
]

setup(
    ext_modules=cythonize(
        EXTENSIONS,
        include_path=DIRECTORIES,
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    )
)
