"""The list of compiled extensions, what a build may leave out, and the README for an index; else pyproject.toml.

`H5BURST_WITHOUT_SCPTENSOR=1` leaves out the package and the command `scptensor`, which may belong to another
distribution; `scpstore` is all there either way.
"""

import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_namespace_packages, setup

sys.path.insert(0, str(Path(__file__).parent / "ext"))
from building import BuildExtensions, BuildPackages, description_elsewhere, translated, usable_cpus

# Fused multiply-add would make a result depend on the CPU that computed it. What is for debuggers, which Python
# asks for, would take a third of the build's time and four fifths of the files.
FLAGS = ["/O2"] if sys.platform == "win32" else ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno"]
SOURCES = sorted(Path("ext").rglob("*.pyx"))
KERNELS, CODECS, ENCODE, DECODE = "ext/kernels", "ext/codecs", "ext/hdf5/encode", "ext/hdf5/decode"
INCLUDED = {KERNELS: [KERNELS], CODECS: [KERNELS, CODECS]}  # whose headers a directory uses; the format's, all
DIRECTORIES = [KERNELS, CODECS, ENCODE, DECODE]


def beside(source: Path, *suffixes: str) -> list[Path]:
    """The files that an extension may include, and that it is compiled again for when they change."""
    directories = INCLUDED.get(source.parent.as_posix(), DIRECTORIES)
    return sorted(path for name in directories for path in Path(name).iterdir() if path.suffix in suffixes)


EXTENSIONS = [
    Extension(
        f"h5burst._ext.{source.stem}",
        [(source.with_suffix(".c") if translated(source, beside(source, ".pxi", ".pxd")) else source).as_posix()],
        include_dirs=[*DIRECTORIES, numpy.get_include()],
        depends=["setup.py", *(path.as_posix() for path in beside(source, ".h", ".pxi", ".pxd"))],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
    )
    for source in SOURCES
]

LEFT_OUT = ["scptensor", "scptensor.*"] if os.environ.get("H5BURST_WITHOUT_SCPTENSOR", "0") not in ("", "0") else []
COMMANDS = {"h5burst": "h5burst", "hdmea": "hdmea", "scpstore": "scpstore", "scptensor": "scpstore"}

README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")

setup(
    long_description=description_elsewhere(README),
    long_description_content_type="text/markdown",
    package_dir={"": "src"},
    packages=find_namespace_packages("src", exclude=LEFT_OUT),
    entry_points={
        "console_scripts": [
            f"{name} = h5burst.starting:{home}" for name, home in COMMANDS.items() if name not in LEFT_OUT
        ]
    },
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildPackages},
    ext_modules=cythonize(
        EXTENSIONS,
        include_path=DIRECTORIES,
        nthreads=usable_cpus() if sys.platform == "linux" else 0,  # elsewhere its workers would run this file again
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    ),
)
