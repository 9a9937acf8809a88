"""The reader takes Kaggle's layout as it is, and names what is wrong with it."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

from gwres.data import g2net
from gwres.errors import InputError


def files(root):
    return sorted((root / "train").rglob("*.npy"))


def relabel(root, change):
    path = root / "training_labels.csv"
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


def test_folder_matches_labels_and_files(simulated):
    folder = g2net.folder(simulated)
    labels = pd.read_csv(simulated / "training_labels.csv", index_col="id")["target"]
    assert len(folder.table) == 60
    assert (folder.table.set_index("id")["label"] == labels.sort_index()).all()
    window = folder.window(folder.table["id"][0])
    assert window.shape == (3, 4096)
    assert window.dtype == np.float64


def test_digest_sees_a_changed_file(copy):
    before = g2net.folder(copy).digest()
    assert g2net.folder(copy).digest() == before
    path = files(copy)[0]
    np.save(path, np.load(path) * 2)
    assert g2net.folder(copy).digest() != before


def test_missing_folder_and_empty_folder(tmp_path):
    with pytest.raises(InputError, match="there is no folder .*nowhere"):
        g2net.folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="expected training_labels.csv.*found nothing"):
        g2net.folder(tmp_path)


def test_labels_without_a_train_folder(copy):
    (copy / "train").rename(copy / "elsewhere")
    with pytest.raises(InputError, match="expected .npy files; found none"):
        g2net.folder(copy)


def test_ids_without_files_and_files_without_ids_are_counted_and_listed(copy, caplog):
    lost, unknown = files(copy)[0], files(copy)[1]
    lost.unlink()
    relabel(copy, lambda table: table[table["id"] != unknown.stem])
    with pytest.raises(InputError) as error:
        g2net.folder(copy)
    assert f"1 ids in the labels have no file: {lost.stem}" in str(error.value)
    assert f"1 files have no label: {unknown.stem}" in str(error.value)
    folder = g2net.folder(copy, strict=False)
    assert not {lost.stem, unknown.stem} & set(folder.table["id"])
    assert len(folder.table) == 58
    assert lost.stem in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(target="2"), "labels must be 0 or 1; received '2'"),
        (lambda t: t.assign(target="1.5"), "labels must be 0 or 1; received '1.5'"),
        (lambda t: t.assign(target=""), "labels must be 0 or 1; received ''"),
        (lambda t: t.assign(target="1"), "expected labels 0 and 1; received only 1"),
        (lambda t: t[:0], "expected labels 0 and 1; received only no rows"),
        (lambda t: t.rename(columns={"target": "y"}), "id,target; received id,y"),
        (lambda t: t.rename(columns=str.upper), "id,target; received ID,TARGET"),
        (lambda t: t.reset_index(), "id,target; received index,id,target"),
        (
            lambda t: t.assign(target=t["target"].replace("1", "0.5")),
            "labels must be 0 or 1; received '0.5' for .* such in all",
        ),
        (lambda t: pd.concat([t, t[:1]]), "1 ids stand twice"),
        (lambda t: t.assign(id="../" + t["id"]), "ids must be 3 to 64 letters"),
    ],
)
def test_wrong_labels(copy, change, message):
    relabel(copy, change)
    with pytest.raises(InputError, match=message):
        g2net.folder(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
        lambda text: b"\n".join(
            b'"%s","%s"' % tuple(line.split(b",")) for line in text.splitlines()
        ),
    ],
    ids=["of Windows", "quoted"],
)
def test_labels_as_other_programs_write_them(simulated, copy, change):
    path = copy / "training_labels.csv"
    path.write_bytes(change(path.read_bytes()))
    columns = ["id", "label"]
    expected = g2net.folder(simulated).table[columns]
    assert g2net.folder(copy).table[columns].equals(expected)


def test_labels_between_semicolons(copy):
    path = copy / "training_labels.csv"
    path.write_bytes(path.read_bytes().replace(b",", b";"))
    with pytest.raises(InputError, match="expected columns id,target; received id;"):
        g2net.folder(copy)


def test_files_of_half_the_precision(simulated, copy):
    for path in files(copy):
        np.save(path, np.load(path).astype(np.float32))
    whole, half = g2net.folder(simulated), g2net.folder(copy)
    name = whole.table["id"][0]
    np.testing.assert_array_equal(half.window(name), np.float32(whole.window(name)))


def test_ids_that_read_as_numbers(copy):
    """Zeros at the front, and what a reader of tables takes for infinity."""
    named = {}
    for name, path in zip(("0000000012", "1e10000000"), files(copy)):
        new = copy / "train" / name[0] / name[1] / name[2] / f"{name}.npy"
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)
        named[path.stem] = name
    relabel(copy, lambda table: table.replace(named))
    folder = g2net.folder(copy)
    assert {"0000000012", "1e10000000"} <= set(folder.table["id"])
    assert folder.window("1e10000000").shape == (3, 4096)


def test_a_folder_that_is_a_link_and_a_relative_path(simulated, copy, monkeypatch):
    (copy / "train").rename(copy.parent / "elsewhere")
    (copy / "train").symlink_to(copy.parent / "elsewhere")
    monkeypatch.chdir(copy.parent)
    expected = g2net.folder(simulated).table["id"]
    assert g2net.folder(copy.name).table["id"].equals(expected)


def test_empty_labels_file(copy):
    (copy / "training_labels.csv").write_text("")
    with pytest.raises(InputError, match="received nothing"):
        g2net.folder(copy)


def spoiled(name):
    """The bytes of a bad window, by what is wrong with it."""

    def write(path, window):
        if name == "truncated":
            np.save(path, window)
            path.write_bytes(path.read_bytes()[:5000])
        elif name == "no bytes":
            path.write_bytes(b"")
        elif name == "pickled":
            with open(path, "wb") as file:
                pickle.dump(window, file)
        elif name == "pickled array":
            np.save(path, window.astype(object), allow_pickle=True)
        elif name == "transposed":
            np.save(path, window.T)
        elif name == "integers":
            np.save(path, (window * 1e23).astype(int))
        elif name == "zeros":
            np.save(path, window * 0)
        elif name == "whitened":
            np.save(path, window * 1e21)
        elif name == "archive":
            with open(path, "wb") as file:
                np.savez(file, window)
        else:
            window[1, 7] = float(name)
            np.save(path, window)

    return write


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated", "truncated or of another kind"),
        ("no bytes", "truncated or of another kind"),
        ("pickled", "pickled objects are never loaded"),
        ("pickled array", "pickled objects are never loaded"),
        ("transposed", r"expected shape \(3, 4096\), received \(4096, 3\)"),
        ("integers", "expected float32 or float64, received int64"),
        ("zeros", "received zeros in all detectors"),
        ("whitened", "whitened or rescaled data"),
        ("archive", "expected one array, received an archive"),
        ("nan", "received NaN or infinity"),
        ("inf", "received NaN or infinity"),
    ],
)
def test_a_bad_window_is_named(tmp_path, window, name, message):
    path = tmp_path / "abcdef.npy"
    spoiled(name)(path, window)
    with pytest.raises(InputError, match=message) as error:
        g2net.read(path)
    assert str(path) in str(error.value)


def test_a_missing_detector_is_no_error(tmp_path, window):
    window[2] = 0
    np.save(tmp_path / "abcdef.npy", window)
    assert (g2net.read(tmp_path / "abcdef.npy") == window).all()


def test_labels_that_pandas_made_numbers_of_are_taken(copy):
    before = g2net.labels(copy)
    relabel(copy, lambda table: table.assign(target=table["target"] + ".0"))
    pd.testing.assert_frame_equal(g2net.labels(copy), before)


def test_hidden_files_are_left_out_and_counted(copy, caplog):
    """macOS puts ._abc.npy beside abc.npy, and .DS_Store into every folder."""
    before = g2net.folder(copy)
    first = files(copy)[0]
    (first.parent / f"._{first.name}").write_bytes(b"Mac OS X")
    (copy / "train" / ".DS_Store").write_bytes(b"Bud1")
    pd.testing.assert_frame_equal(g2net.folder(copy).table, before.table)
    assert "2 hidden files left out" in caplog.text


def test_files_that_lie_flat_in_train_are_read(copy):
    """As some unpack them; the competition's own folders go first."""
    before = g2net.folder(copy)
    windows = {name: before.window(name) for name in before.table["id"]}
    for path in files(copy):
        path.rename(copy / "train" / path.name)
    flat = g2net.folder(copy)
    assert list(flat.table["id"]) == list(before.table["id"])
    for name, window in windows.items():
        np.testing.assert_array_equal(flat.window(name), window)
    (copy / "train" / f"{name}.npy").unlink()
    with pytest.raises(InputError, match=rf"{name[0]}.{name[1]}.{name[2]}.{name}.npy"):
        flat.window(name)


@pytest.mark.parametrize("place", ["train/{0}", "{1}", "{0}/{2}/{1}"])
def test_files_that_lie_elsewhere_are_told_with_where_they_may_lie(copy, place):
    first = files(copy)[0]
    inside = place.format(*first.stem[:3])
    (copy / "train" / inside).mkdir(parents=True, exist_ok=True)
    first.rename(copy / "train" / inside / first.name)
    with pytest.raises(InputError, match=f"abc….npy.*found {inside}/{first.stem}"):
        g2net.folder(copy)


def test_two_files_of_one_id_are_told(copy):
    first = files(copy)[0]
    shutil.copy(first, copy / "train")
    with pytest.raises(InputError, match=f"1 have two files: {first.stem}"):
        g2net.folder(copy)


def test_a_large_file_is_refused_unread(tmp_path, window, monkeypatch):
    path = tmp_path / "abcdef.npy"
    np.save(path, np.stack([window] * 11))
    monkeypatch.delattr(np, "load")
    with pytest.raises(InputError, match="at most 1,048,576 bytes; received 1,081,472"):
        g2net.read(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4096)",
        "{'descr': '|V999999999999', 'fortran_order': False, 'shape': (3, 4096)}",
        "[" * 5000,
    ],
)
def test_a_header_that_claims_anything_is_refused(tmp_path, header):
    """Whatever NumPy makes of it; tests/fuzz.py watches the memory."""
    path, text = tmp_path / "abcdef.npy", header.encode() + b"\n"
    start = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little")
    path.write_bytes(start + text + bytes(64))
    with pytest.raises(InputError, match="abcdef.npy: expected a .npy file"):
        g2net.read(path)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00id", b'id,target\n"abc', b"id,target\na,1,2"]
)
def test_a_table_that_is_no_csv_is_named(copy, body):
    (copy / "training_labels.csv").write_bytes(body)
    with pytest.raises(InputError, match="training_labels.csv: expected"):
        g2net.labels(copy)
