"""Every error says which file, what is wrong, and what to do; and a save that fails leaves the old file."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import plain_layout
import polars as pl
import pytest
import scipy.sparse as sp

from scpstore import Assay, MatrixMetadata, ProvenanceLog, ScpContainer, ScpMatrix, ScpTensorError, load_hdf5, save_hdf5
from scpstore.io import IOFormatError, IOPasswordError, IOWriteError


def a_container(n_samples: int = 2, n_features: int = 3, **layers: Any) -> ScpContainer:
    var = pl.DataFrame({"_index": [f"p{n}" for n in range(n_features)]})
    layers = layers or {"X": ScpMatrix(np.ones((n_samples, n_features)))}
    return ScpContainer(pl.DataFrame({"_index": [f"s{n}" for n in range(n_samples)]}), {"proteins": Assay(var, layers)})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    a_container().save(tmp_path / "saved.h5")
    return tmp_path / "saved.h5"


# ---------------------------------------------------------------- writing


def test_an_existing_file_is_kept(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(IOWriteError, match="File already exists") as caught:
        save_hdf5(a_container(), saved)
    assert str(caught.value).endswith(f": {saved}")
    assert saved.read_bytes() == before


def test_overwrite_replaces(saved: Path) -> None:
    other = a_container(4)
    save_hdf5(other, saved, overwrite=True)
    assert load_hdf5(saved) == other


@pytest.mark.parametrize("compression", ["bzip2", "GZIP", "", 44, 4.0])
def test_unknown_compression(tmp_path: Path, compression: Any) -> None:
    with pytest.raises(ValueError, match="compression must be one of 'gzip', 'lzf', 'blosc', 'zstd', None"):
        save_hdf5(a_container(), tmp_path / "a.h5", compression=compression)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", [-1, 10, 2.5, "4", True])
def test_unknown_compression_level(tmp_path: Path, level: Any) -> None:
    with pytest.raises(ValueError, match="compression level of gzip must be a whole number from 0 to 9"):
        save_hdf5(a_container(), tmp_path / "a.h5", compression_level=level)


@pytest.mark.parametrize("name", ["a.h5ad", "a", "a.csv", "a.zarr"])
def test_suffixes_of_save_and_load(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"Unsupported file suffix .* use \.h5 or \.hdf5"):
        a_container().save(tmp_path / name)
    with pytest.raises(ValueError, match="Unsupported file suffix"):
        ScpContainer.load(tmp_path / name)


@pytest.mark.parametrize("name", ["a.h5", "a.hdf5", "b.H5"])
def test_both_suffixes_work(tmp_path: Path, name: str) -> None:
    a_container().save(tmp_path / name, compression_level=1)
    assert ScpContainer.load(tmp_path / name) == a_container()


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    other = SimpleNamespace(
        obs=pl.DataFrame({"_index": ["s"]}),
        assays={
            "a": SimpleNamespace(
                var=pl.DataFrame({"_index": ["p"]}),
                layers={"raw": SimpleNamespace(X=np.array([[{}]], dtype=object), M=None)},
            )
        },
        history=[],
    )
    with pytest.raises(IOWriteError, match=r"assays/a/layers/raw/X is an array of Python objects.*: .*a\.h5$"):
        save_hdf5(other, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_object_columns_are_refused(tmp_path: Path) -> None:
    obs = pl.DataFrame({"_index": ["s"], "o": pl.Series([object()], dtype=pl.Object)})
    with pytest.raises(IOWriteError, match=r"obs/o: a column of dtype Object"):
        save_hdf5(ScpContainer(obs), tmp_path / "a.h5")


def test_objects_in_metadata_and_params_are_refused(tmp_path: Path) -> None:
    metadata = MatrixMetadata(confidence_scores=np.array([object()]))
    with pytest.raises(IOWriteError, match="metadata/confidence_scores is an array of Python objects"):
        save_hdf5(a_container(X=ScpMatrix(np.ones((2, 3)), metadata=metadata)), tmp_path / "a.h5")
    with pytest.raises(IOWriteError, match="creation_info cannot be stored"):
        save_hdf5(
            a_container(X=ScpMatrix(np.ones((2, 3)), metadata=MatrixMetadata(creation_info={"f": len}))),
            tmp_path / "a.h5",
        )
    container = a_container()
    container.history.append(ProvenanceLog("2024-05-01T10:30:00+00:00", "x", {"function": len}))
    with pytest.raises(IOWriteError, match=r"params of step 0 cannot be stored.*function"):
        save_hdf5(container, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_a_frame_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IOWriteError, match="obs must be a polars DataFrame, got"):
        save_hdf5(SimpleNamespace(obs={"_index": ["s"]}, assays={}, history=[]), tmp_path / "a.h5")


def _nested(depth: int) -> dict[str, Any]:
    return {"a": _nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("deep", _nested(80), "extras/uns/deep/a.*is nested more than 64 deep"),
        (3, 1, "extras/uns: the name 3 must be text: rename it"),
        ("m", {3: 1}, "extras/uns/m: the name 3 must be text"),
        ("x", np.ma.masked_array([1.0], [True]), "extras/uns/x is a masked array: fill it first"),
        ("x", len, "extras/uns/x cannot be stored"),
    ],
)
def test_extras_that_cannot_be_stored(tmp_path: Path, name: Any, value: Any, message: str) -> None:
    container = a_container()
    container.extras.uns[name] = value
    with pytest.raises(IOWriteError, match=message):
        save_hdf5(container, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ma.masked_array([[1.0]]), "layers/raw/X is a masked array: fill it first, and say in M what is missing"),
        (np.array([["a"]]), "layers/raw/X is not an array of numbers: it has the dtype <U1"),
    ],
)
def test_matrices_of_other_classes_that_cannot_be_stored(tmp_path: Path, X: Any, message: str) -> None:
    layers = {"raw": SimpleNamespace(X=X, M=None)}
    assay = SimpleNamespace(var=pl.DataFrame({"_index": ["p"]}), layers=layers)
    other = SimpleNamespace(obs=pl.DataFrame({"_index": ["s"]}), assays={"a": assay}, history=[])
    with pytest.raises(IOWriteError, match=message):
        save_hdf5(other, tmp_path / "a.h5")


def test_masked_metadata_is_refused(tmp_path: Path) -> None:
    metadata = MatrixMetadata(confidence_scores=np.ma.masked_array(np.ones((2, 3))))
    with pytest.raises(IOWriteError, match="metadata/confidence_scores is a masked array: fill it first"):
        save_hdf5(a_container(X=ScpMatrix(np.ones((2, 3)), metadata=metadata)), tmp_path / "a.h5")


def test_the_ids_alone_need_their_column(tmp_path: Path) -> None:
    other = SimpleNamespace(obs=pl.DataFrame({"cell": ["s"]}), assays={}, history=[], sample_id_col="_index")
    with pytest.raises(IOWriteError, match=r"obs has no ID column '_index' that could be saved alone: \['cell'\]"):
        save_hdf5(other, tmp_path / "a.h5", save_obs=False)


class _Failing:
    """A matrix whose second block cannot be read, as on a disk that fails."""

    shape = (4000, 3000)
    dtype = np.dtype("f8")

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if stop > 2000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return np.ones((stop - start, self.shape[1]))


def test_a_save_that_fails_leaves_the_old_file_and_no_litter(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(IOWriteError, match="the disk reports an error"):
        save_hdf5(a_container(4000, 3000, X=ScpMatrix(_Failing())), saved, overwrite=True)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


_FULL_DISK = """
import resource, sys, numpy as np, polars as pl
from scpstore import *
from scpstore.io import IOWriteError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # no file may grow beyond this
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
X = np.random.default_rng(0).normal(size=(1000, 1000))
container = ScpContainer(pl.DataFrame({"_index": range(1000)}),
                         {"a": Assay(pl.DataFrame({"_index": range(1000)}), {"X": ScpMatrix(X)})})
try:
    save_hdf5(container, sys.argv[1], overwrite=True)
except IOWriteError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(saved)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip().endswith(f": {saved}"), done
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    directory = tmp_path / "locked"
    directory.mkdir(mode=0o500)
    with pytest.raises(IOWriteError, match="Permission denied"):
        save_hdf5(a_container(), directory / "a.h5")


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(IOWriteError) as caught:
        save_hdf5(a_container(), tmp_path / "file" / "a.h5")
    assert str(caught.value).endswith(f": {tmp_path / 'file' / 'a.h5'}")


def test_io_errors_are_scptensor_errors() -> None:
    for error in (IOFormatError("x"), IOWriteError("x", "p"), IOPasswordError("x")):
        assert isinstance(error, ScpTensorError)
    assert str(IOWriteError("Disk full", "/a/b.h5")) == "Disk full: /a/b.h5"
    assert str(IOWriteError("Disk full")) == "Disk full"
    assert IOWriteError("Disk full", "/a/b.h5").path == "/a/b.h5"


# ---------------------------------------------------------------- reading


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        load_hdf5(tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError):
        ScpContainer.load(tmp_path / "none.h5")


@pytest.mark.parametrize("content", [b"", b"just text", b"\0" * 4096])
def test_not_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(IOFormatError, match=r"a\.h5 is .*not an HDF5 file"):
        load_hdf5(tmp_path / "a.h5")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(IOFormatError, match="is a directory"):
        load_hdf5(tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, share: float) -> None:
    X = np.random.default_rng(0).normal(size=(200, 300))
    a_container(200, 300, X=ScpMatrix(X)).save(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: int(share * len(content))])
    with pytest.raises(IOFormatError, match=r"cut\.h5 is a damaged or truncated HDF5 file"):
        load_hdf5(tmp_path / "cut.h5")


def test_a_damaged_chunk_is_noticed(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(200, 300))
    a_container(200, 300, X=ScpMatrix(X)).save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        chunk = file["assays/proteins/layers/X/X"].id.get_chunk_info(0)
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(IOFormatError, match=r"a\.h5"):
        load_hdf5(tmp_path / "a.h5")


@pytest.mark.parametrize("group", ["obs", "assays"])
def test_a_missing_required_group(saved: Path, group: str) -> None:
    with h5py.File(saved, "r+") as file:
        del file[group]
    with pytest.raises(IOFormatError, match=rf"Missing required group: {group} .*saved\.h5"):
        load_hdf5(saved)


def test_a_missing_var(saved: Path) -> None:
    with h5py.File(saved, "r+") as file:
        del file["assays/proteins/var"]
    with pytest.raises(IOFormatError, match="Missing required group: assays/proteins/var"):
        load_hdf5(saved)


@pytest.mark.parametrize("version", ["0.0", "2.0", "1.1"])
def test_another_version(saved: Path, version: str) -> None:
    with h5py.File(saved, "r+") as file:
        file.attrs["format_version"] = version
    with pytest.raises(IOFormatError, match=rf"Version {version} not supported .*saved\.h5"):
        load_hdf5(saved)


def test_no_version(saved: Path) -> None:
    with h5py.File(saved, "r+") as file:
        del file.attrs["format_version"]
    with pytest.raises(IOFormatError, match=r"Version 0\.0 not supported: the file has no attribute format_version"):
        load_hdf5(saved)


def test_any_other_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(IOFormatError, match="Missing required group: obs"):
        load_hdf5(tmp_path / "a.h5")


def _broken_files() -> dict[str, tuple[Any, str]]:
    def duplicate_ids(file: Any) -> None:
        file["obs/_index"][1] = "s0"

    def short_column(file: Any) -> None:
        file["obs/short"] = [1]

    def two_axes(file: Any) -> None:
        file["obs/wide"] = np.ones((2, 2))

    def wrong_shape(file: Any) -> None:
        del file["assays/proteins/layers/X/X"]
        file["assays/proteins/layers/X/X"] = np.ones((2, 9))

    def wrong_samples(file: Any) -> None:
        del file["assays/proteins/layers/X/X"]
        file["assays/proteins/layers/X/X"] = np.ones((9, 3))

    def no_matrix(file: Any) -> None:
        del file["assays/proteins/layers/X/X"]

    def text_matrix(file: Any) -> None:
        no_matrix(file)
        file["assays/proteins/layers/X/X"] = [["a", "b", "c"]] * 2

    def bad_columns(file: Any) -> None:
        file["assays/proteins/layers/S/X_indices"][0] = 1000

    def bad_pointers(file: Any) -> None:
        file["assays/proteins/layers/S/X_indptr"][1] = 1000

    def no_indices(file: Any) -> None:
        del file["assays/proteins/layers/S/X_indices"]

    def no_shape(file: Any) -> None:
        del file["assays/proteins/layers/S"].attrs["X_shape"]

    def other_format(file: Any) -> None:
        file["assays/proteins/layers/S"].attrs["X_format"] = "ellpack"

    def no_json(file: Any) -> None:
        file["provenance/history/params"][0] = "{"

    def short_history(file: Any) -> None:
        del file["provenance/history/params"]

    def no_text(file: Any) -> None:
        file["obs/odd"] = np.array([b"a", b"\xff"], "S1")

    def complex_column(file: Any) -> None:
        file["obs/odd"] = np.array([1j, 2])

    def cut_by_no_blocks(file: Any) -> None:
        sparse = file["assays/proteins/layers/S"].attrs
        sparse["X_original_format"], sparse["X_block_shape"] = "bsr", [2, 2]

    def unknown_order(file: Any) -> None:
        file["assays/proteins/layers/S"].attrs["X_entry_order"] = "odd"

    def later_params(file: Any) -> None:
        file["scptensor/provenance/history"].attrs["version"] = 99

    def unknown_marker(file: Any) -> None:
        file["extras/uns/u"].attrs["h5burst.type"] = "fraction"

    def deep(file: Any) -> None:
        group = file["extras/uns"]
        for _ in range(70):
            group = group.create_group("a")
            group.attrs["stored_as"] = "mapping"

    def link_without_names(file: Any) -> None:
        file["links/link_0/linkage/source_id"], file["links/link_0/linkage/target_id"] = ["a"], ["b"]
        file["links/link_0"].attrs["source_assay"] = 3

    def no_creation_json(file: Any) -> None:
        file["scptensor/assays/proteins/layers/X/metadata/creation_info"][...] = "{"

    return {
        "text of bytes": (no_text, "obs/odd holds text that is not UTF-8"),
        "complex column": (complex_column, "obs/odd is not a column: it has the dtype complex128"),
        "blocks": (cut_by_no_blocks, r"blocks of \(2, 2\) do not cut a matrix of shape \(2, 3\)"),
        "version of params": (later_params, "provenance/history: params of version 99: written by a newer version"),
        "unknown marker": (unknown_marker, "extras/uns/u cannot be read: unknown marker 'fraction@1'"),
        "deep": (deep, "extras/uns/a.*is nested more than 64 deep"),
        "link": (link_without_names, "links/link_0: attributes source_assay and target_assay must be text"),
        "creation info": (no_creation_json, "layers/X/metadata/creation_info is not JSON"),
        "entry order": (unknown_order, "S: unknown sparse format 'csr' with entries by 'odd'"),
        "duplicate IDs": (duplicate_ids, r"IDs in column '_index' of obs are not unique: \['s0'\]"),
        "short column": (short_column, "obs: columns of different lengths: .*short 1"),
        "two axes": (two_axes, r"obs/wide is not a column: it has the shape \(2, 2\)"),
        "wrong width": (wrong_shape, r"assays/proteins/layers/X: X is \(2, 9\), expected \(2, 3\)"),
        "wrong height": (wrong_samples, r"assays/proteins/layers/X: X is \(9, 3\), expected \(2, 3\)"),
        "no matrix": (no_matrix, "assays/proteins/layers/X has neither X nor X_data"),
        "text matrix": (text_matrix, "assays/proteins/layers/X/X holds no numbers"),
        "column numbers": (bad_columns, r"assays/proteins/layers/S/X_\*: .*column numbers must be in \[0, 3\)"),
        "row pointers": (bad_pointers, r"assays/proteins/layers/S/X_\*: .*indptr must rise"),
        "no indices": (no_indices, "assays/proteins/layers/S: dataset X_indices is missing"),
        "no shape": (no_shape, "assays/proteins/layers/S: attribute X_shape"),
        "other format": (other_format, "X_format is 'ellpack', expected 'csr'"),
        "no JSON": (no_json, "provenance/history/params, row 0 is not JSON"),
        "short history": (short_history, "provenance/history/params: missing, expected 1 rows"),
    }


@pytest.mark.parametrize("fault", _broken_files())
def test_a_faulty_file_says_where(tmp_path: Path, fault: str) -> None:
    change, message = _broken_files()[fault]
    made = MatrixMetadata(creation_info={"by": "us"})
    container = a_container(X=ScpMatrix(np.ones((2, 3)), metadata=made), S=ScpMatrix(sp.csr_matrix(np.eye(2, 3))))
    container.log_operation("x", {"a": (1,)})
    container.extras.uns["u"] = np.arange(3)
    container.save(tmp_path / "faulty.h5")
    with h5py.File(tmp_path / "faulty.h5", "r+") as file:
        change(file)
    with pytest.raises(IOFormatError, match=message) as caught:
        load_hdf5(tmp_path / "faulty.h5")
    assert "faulty.h5" in str(caught.value)


# ---------------------------------------------------------------- encrypted files


def _zip(encrypted: bool) -> bytes:
    """An archive of two entries, of which the second may be encrypted (its bit is set; nothing reads it)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme", "x")
        archive.writestr("a.h5", "y")
        archive.infolist()[1].flag_bits |= int(encrypted)
    return stream.getvalue()


ENCRYPTED = {
    "GnuPG.*armored": b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n",
    "GnuPG": bytes.fromhex("8c0d04090308a1b2c3d4e5f60718ff") + bytes(64),
    "GnuPG ": bytes.fromhex("85010c03") + bytes(300),
    "GnuPG  ": bytes.fromhex("c30d0409030a") + bytes(64),
    "OpenSSL": b"Salted__" + bytes(64),
    "age": b"age-encryption.org/v1\n-> X25519 abc\n",
    "age.*armored": b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n",
    "encrypted zip archive": _zip(True),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(40),
    "a rar archive": b"Rar!\x1a\x07\x01\x00" + bytes(12),
    "Ansible Vault": b"$ANSIBLE_VAULT;1.1;AES256\n3031\n",
    "git-crypt": b"\0GITCRYPT\0" + bytes(20),
    "AES Crypt": b"AES\x02\0" + bytes(40),
    "LUKS": b"LUKS\xba\xbe\0\x02" + bytes(600),
}


@pytest.mark.parametrize("program", ENCRYPTED)
def test_an_encrypted_file_says_by_what_and_how_to_go_on(tmp_path: Path, program: str) -> None:
    (tmp_path / "secret.h5").write_bytes(ENCRYPTED[program])
    with pytest.raises(IOPasswordError, match=rf"secret\.h5 is encrypted by .*{program.strip()}.*: decrypt it first"):
        load_hdf5(tmp_path / "secret.h5")


@pytest.mark.parametrize(
    "content",
    [
        _zip(False),
        b"\x85",
        b"\x85\xff\xff\x03" + bytes(9),
        b"\x8c\x0d\x09" + bytes(9),
    ],
)
def test_what_only_looks_like_it_is_not_called_encrypted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(IOFormatError, match="not an HDF5 file"):
        load_hdf5(tmp_path / "a.h5")


@pytest.mark.parametrize("tool", ["gpg", "openssl"])
def test_the_programs_themselves(tmp_path: Path, tool: str) -> None:
    import shutil

    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    plain_layout.write(tmp_path / "plain.h5", {"obs": {"_index": ["s"]}})
    source, target = str(tmp_path / "plain.h5"), str(tmp_path / "secret.h5")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    commands = {
        "gpg": ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "x",
                "--symmetric", "--output", target, source],
        "openssl": ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", "pass:x", "-in", source, "-out", target],
    }  # fmt: skip
    done = subprocess.run(commands[tool], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"{tool} does not work here: {done.stderr.strip()}")
    with pytest.raises(IOPasswordError, match={"gpg": "GnuPG", "openssl": "OpenSSL"}[tool]):
        load_hdf5(target)
