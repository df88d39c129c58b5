#!/bin/sh
# Run tests against a debug build: Cython's bounds checks, address and undefined-behaviour sanitizers.
#
#   tests/sanitize.sh [pytest arguments]     default: the tests of the kernels and of inflate
#
# Builds in a temporary directory and leaves the work tree as it is. Needs GCC with libasan and libubsan, and the
# Python environment of the project. Signed overflow counts as undefined here, though release builds define it.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cp -r "$project/src" "$directory/src"
find "$directory/src" \( -name '*.so' -o -name '__pycache__' \) -exec rm -rf {} +
(
    cd "$project"
    python - "$directory" <<'PYTHON'
import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

directory = sys.argv[1]
directories = ["ext/kernels", "ext/codecs", "ext/hdf5/encode", "ext/hdf5/decode"]
sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
extensions = [
    Extension(
        f"h5burst._ext.{source.stem}",
        [source.as_posix()],
        include_dirs=[*directories, numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=["-O1", "-g1", "-UNDEBUG", "-w", "-fno-wrapv", "-fno-omit-frame-pointer", "-ffp-contract=off", *sanitizers],
        extra_link_args=sanitizers,
    )
    for source in sorted(Path("ext").rglob("*.pyx"))
]
directives = {"language_level": "3", "boundscheck": True, "wraparound": False, "cdivision": True, "initializedcheck": True, "show_performance_hints": False}
setup(
    long_description="",  # pyproject.toml leaves it to setup.py
    script_args=["-q", "build_ext", f"--build-lib={directory}/src", f"--build-temp={directory}/build", f"-j{os.cpu_count()}"],
    ext_modules=cythonize(
        extensions, include_path=directories, build_dir=f"{directory}/cython", compiler_directives=directives, force=True, quiet=True
    ),
)
PYTHON
)
[ $# -gt 0 ] || set -- -q -p no:cacheprovider "$project/tests/hdmea/kernels" "$project/tests/h5burst/codecs/test_inflate.py"
cd "$project"
PYTHONPATH="$directory/src" PYTHONDONTWRITEBYTECODE=1 PYTHONMALLOC=malloc \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    python -m pytest "$@"
