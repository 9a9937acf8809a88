"""What is stored is what was written, or is told."""

import json

import numpy as np
import pytest

from gwres import proof
from gwres.proof import Damaged

ROWS = np.arange(60, dtype="<f4").reshape(10, 2, 3)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows.npy"
    with proof.writing_rows(path, "<f4", ROWS.shape) as append:
        append(ROWS[:4])
        append(ROWS[4:].astype(float))
    return path


def flip(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def test_rows_are_a_npy_file_and_read_in_any_order(path):
    np.testing.assert_array_equal(np.load(path), ROWS)
    rows = proof.Rows(path)
    assert len(rows) == 10 and rows.shape == ROWS.shape and rows.dtype == "<f4"
    np.testing.assert_array_equal(rows[2:5], ROWS[2:5])
    np.testing.assert_array_equal(rows[np.array([7, 0, 7])], ROWS[[7, 0, 7]])
    assert rows[3:3].shape == (0, 2, 3)
    rows.verify()


def test_a_damaged_row_is_named_and_the_others_are_read(path):
    flip(path, 128 + 24 * 6 + 5)
    rows = proof.Rows(path)
    np.testing.assert_array_equal(rows[:6], ROWS[:6])
    with pytest.raises(Damaged, match=r"rows\.npy: row 6 ") as told:
        rows[np.array([1, 6])]
    assert told.value.row == 6
    with pytest.raises(Damaged):
        rows.verify()


def test_every_byte_of_both_files_counts(path):
    kept = {one: one.read_bytes() for one in (path, proof.beside(path))}
    for one, data in kept.items():
        for byte in range(len(data)):
            flip(one, byte)
            with pytest.raises(Damaged):
                proof.Rows(path).verify()
            one.write_bytes(data)
    proof.Rows(path).verify()


@pytest.mark.parametrize("left", [0, 5, 127, 128, 300])
def test_a_file_that_is_cut_short_is_told(path, left):
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(Damaged, match=r"rows\.npy"):
        proof.Rows(path)


def test_rows_in_another_order_are_told(path):
    """As are those of a file whose digests are another's."""
    data = path.read_bytes()
    path.write_bytes(data[:128] + data[152:176] + data[128:152] + data[176:])
    with pytest.raises(Damaged, match="row 0"):
        proof.Rows(path)[:]


def test_a_sealed_record_is_read_again_and_no_other():
    record = {"a": [1.5, None], 3: "b", "c": {"d": True}}
    text = proof.sealed(record)
    assert json.loads(text).items() > {"3": "b", "a": [1.5, None]}.items()


def test_every_byte_of_a_sealed_record_counts(tmp_path):
    path = tmp_path / "record.json"
    record = {"name": "net", "value": 0.125}
    data = proof.sealed(record).encode()
    path.write_bytes(data)
    assert proof.opened(path) == record
    for byte in range(len(data)):
        path.write_bytes(data)
        flip(path, byte)
        try:
            assert proof.opened(path) == record, "white space alone"
        except Damaged:
            pass
    path.write_text('{"name": "net"}')
    with pytest.raises(Damaged, match="older version"):
        proof.opened(path)
    path.unlink()
    with pytest.raises(Damaged, match="no such file"):
        proof.opened(path)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "folder"
    (place / "deep").mkdir(parents=True)
    (place / "one.txt").write_text("one")
    (place / "deep" / "two.txt").write_text("two")
    with proof.writing_rows(place / "rows.npy", "<f4", ROWS.shape) as append:
        append(ROWS)
    proof.write(place, of="a test")
    return place


def test_a_folder_is_verified_and_gives_what_was_kept_with_it(folder):
    assert proof.verify(folder) == {"of": "a test"}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda at: flip(at / "one.txt", 1), "one.txt: not as it was"),
        (lambda at: flip(at / "deep" / "two.txt", 0), "two.txt: not as it was"),
        (lambda at: (at / "one.txt").unlink(), "one.txt: no such file"),
        (lambda at: (at / "more.txt").touch(), "more.txt: not listed"),
        (lambda at: (at / proof.LIST).unlink(), "an older version made it"),
        (lambda at: flip(at / "rows.npy.rows", 9), "rows.npy.rows: not as it was"),
        (lambda at: (at / "rows.npy").write_bytes(b"cut"), "found 3"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(folder, spoil, told):
    spoil(folder)
    with pytest.raises(Damaged, match=told):
        proof.verify(folder)


def test_a_list_of_files_is_of_all_of_them(tmp_path):
    files = {name: tmp_path / f"{name}.bin" for name in ("one", "two")}
    for name, path in files.items():
        path.write_text(name)
    listed = tmp_path / "list.json"
    proof.write_list(listed, files)
    proof.check_list(listed, files)
    with pytest.raises(Damaged, match="two"):
        proof.check_list(listed, {"one": files["one"]})
    exchanged = {"one": files["two"], "two": files["one"]}
    with pytest.raises(Damaged, match="not as it was"):
        proof.check_list(listed, exchanged)


def test_parts_go_on_before_the_first_that_is_damaged(tmp_path):
    path, parts = tmp_path / "parts.bin", [b"aaaa", b"bbbb", b"cccc", b"dd"]
    assert proof.parts(path, 4) == 0

    def write():
        path.write_bytes(b"".join(parts))
        proof.beside(path).write_bytes(b"".join(map(proof.packed, parts)))

    write()
    assert proof.parts(path, 4) == 4
    flip(path, 9)
    assert proof.parts(path, 4) == 2
    assert path.read_bytes() == b"aaaabbbb" and proof.beside(path).stat().st_size == 16
    write()
    with path.open("ab") as file:
        file.write(b"ee")  # of which a kill has kept the digest off
    assert proof.parts(path, 4) == 3
    write()
    flip(proof.beside(path), 3)
    assert proof.parts(path, 4) == 0
