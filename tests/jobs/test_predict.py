"""The submission: ids and order of the sample, bad files named, kills survived."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from gwres.data import g2net, unlabelled
from gwres.errors import InputError
from gwres.jobs import predict
from gwres.simulate import dataset
from gwres.simulate.population import POPULATIONS

COUNT = 30


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("g2net") / "set"
    dataset.write(folder, POPULATIONS["volumetric"], 4, COUNT, seed=5)
    return folder


class Model:
    """Scores by a sum that any window has to itself; counts what it is given."""

    def __init__(self, fail_after=np.inf):
        self.seen, self.batches, self.fail_after = 0, [], fail_after

    def __call__(self, windows):
        if self.seen >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += len(windows)
        self.batches.append(len(windows))
        assert windows.dtype == np.float64
        return pd.DataFrame({"logit": logits(windows)})


def logits(windows):
    return windows[:, 0, :7].sum(axis=1) * 1e21


@pytest.fixture
def small(monkeypatch):
    """Parts and batches of a size that a few windows fill."""
    monkeypatch.setattr(predict, "PART", 8)
    monkeypatch.setattr(predict, "BATCH", 4)


def write(root, folder, model, out=None):
    folder.mkdir(exist_ok=True)
    out = out or folder / "out" / "submission.csv"
    return predict.write(unlabelled.opened(root), model, out, folder), out


def path(root, name):
    return g2net.locate(root / "test", name)


def test_ids_and_order_are_the_sample_s(root, tmp_path, small):
    bad, out = write(root, tmp_path, Model())
    sample = pd.read_csv(root / "sample_submission.csv")
    table = pd.read_csv(out)
    assert list(table.columns) == ["id", "target"]
    assert table["id"].tolist() == sample["id"].tolist()
    windows = np.stack([np.load(path(root, name)) for name in table["id"]])
    assert table["target"].tolist() == pytest.approx(expit(logits(windows)).tolist())
    assert not len(bad)
    assert not predict.listed(out).exists()


def test_bad_files_are_named_and_the_rest_is_scored(root, tmp_path, small, caplog):
    ids = g2net.submission(root)
    kept = {name: path(root, name).read_bytes() for name in ids[:3]}
    try:
        path(root, ids[0]).unlink()
        path(root, ids[1]).write_bytes(b"nothing")
        np.save(path(root, ids[2]), np.full((3, 4096), np.nan))
        bad, out = write(root, tmp_path, Model())
    finally:
        for name, content in kept.items():
            path(root, name).write_bytes(content)
    assert bad["id"].tolist() == ids[:3]
    for name in ids[:3]:
        assert str(path(root, name)) in caplog.text
    table = pd.read_csv(out)
    assert table["id"].tolist() == ids
    assert table["target"][:3].tolist() == [0.5, 0.5, 0.5]
    assert (table["target"][3:] != 0.5).all()
    listed = pd.read_csv(predict.listed(out))
    assert "no such file" in listed["reason"][0]
    assert "NaN" in listed["reason"][2]
    # Mended and scored anew, nothing is left of the list.
    write(root, tmp_path / "again", Model(), out)
    assert not predict.listed(out).exists()
    assert (pd.read_csv(out)["target"] != 0.5).all()


def test_a_killed_one_goes_on(root, tmp_path, small):
    with pytest.raises(KeyboardInterrupt):
        write(root, tmp_path, Model(fail_after=17))
    second = Model()
    _, out = write(root, tmp_path, second)
    assert second.seen == COUNT - 16
    assert max(second.batches) <= 4
    _, whole = write(root, tmp_path / "at once", Model())
    assert out.read_bytes() == whole.read_bytes()


def rows(root, count=COUNT):
    """The windows of the folder as columns of Parquet."""
    ids = g2net.submission(root)[:count]
    strain = [np.load(path(root, name)).astype(np.float32).ravel() for name in ids]
    return {"id": ids, "strain": strain}


def parquet(columns, path, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_a_parquet_file_gives_the_same(root, tmp_path, small):
    # Row groups and parts end at different rows.
    table = parquet(rows(root), tmp_path / "windows.parquet", row_group_size=11)
    _, whole = write(root, tmp_path / "files", Model())
    with pytest.raises(KeyboardInterrupt):
        write(table, tmp_path / "rows", Model(fail_after=17))
    second = Model()
    bad, out = write(table, tmp_path / "rows", second)
    assert second.seen < COUNT - 8
    assert not len(bad)
    one, other = pd.read_csv(out), pd.read_csv(whole)
    assert one["id"].equals(other["id"])
    assert one["target"].to_numpy() == pytest.approx(other["target"], abs=1e-6)


def test_bad_rows_are_named_and_the_rest_is_scored(root, tmp_path, small):
    columns = rows(root, 6)
    columns["strain"][1] = columns["strain"][1][:-1]
    columns["strain"][2][7] = np.nan
    columns["strain"][4] = None
    table = parquet(columns, tmp_path / "windows.parquet")
    bad, out = write(table, tmp_path / "work", Model())
    assert bad["id"].tolist() == [columns["id"][number] for number in (1, 2, 4)]
    reasons = bad["reason"].tolist()
    assert "expected 12,288 numbers, received 12,287" in reasons[0]
    assert "NaN" in reasons[1]
    assert "received 0" in reasons[2]
    assert (pd.read_csv(out)["target"] == 0.5).tolist() == [0, 1, 1, 0, 1, 0]


def test_asds_of_rows_reach_the_model(root, tmp_path, small):
    columns = rows(root, 6)
    asds = np.full((6, 3, 513), 1e-23) * np.arange(1, 7)[:, None, None]
    columns["asd"] = list(asds.reshape(6, -1))
    table = parquet(columns, tmp_path / "windows.parquet")
    given = []

    def model(windows, asds):
        given.extend(asds[:, 0, 0])
        return pd.DataFrame({"logit": logits(windows)})

    write(table, tmp_path / "work", model)
    assert given == pytest.approx(np.arange(1, 7) * 1e-23)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "expected the columns id, text, and strain"),
        ({"strain": None}, "expected the columns id, text, and strain"),
        ({"id": [1, 2]}, "expected the columns id, text.*received id .int64."),
        ({"strain": [1.0, 2.0]}, "strain must hold flat lists of numbers; received do"),
        ({"id": ["a", "a"]}, "2 rows, 0 without an id and 1 different ids"),
        ({"id": ["a", None]}, "2 rows, 1 without an id"),
    ],
)
def test_wrong_tables(root, tmp_path, change, message):
    columns = {k: v for k, v in (rows(root, 2) | change).items() if v is not None}
    table = parquet(columns, tmp_path / "windows.parquet")
    with pytest.raises(InputError, match=message):
        unlabelled.opened(table)


def test_a_damaged_table_is_named(root, tmp_path, small):
    table = parquet(rows(root), tmp_path / "windows.parquet", row_group_size=11)
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="windows.parquet: expected Parquet"):
        unlabelled.opened(table)
    middle = len(whole) // 2
    table.write_bytes(whole[:middle] + bytes(200_000) + whole[middle + 200_000 :])
    with pytest.raises(InputError, match="windows.parquet: rows from .* cannot be"):
        write(table, tmp_path / "work", Model())


def test_no_window_that_can_be_read_is_an_error(root, tmp_path, small):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "sample_submission.csv").write_text("id,target\nabc,0.5\n")
    with pytest.raises(InputError, match="expected a folder test/; there is none"):
        unlabelled.opened(copy)
    (copy / "test").mkdir()
    with pytest.raises(InputError, match="no window can be read.*no such file"):
        write(copy, tmp_path / "work", Model())
    assert not (tmp_path / "work" / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected sample_submission.csv in a G2Net folder; found nothing"),
        ("", "received nothing"),
        ("id,target\n", "expected ids; received none"),
        ("id,label\nabc,0\n", "received id,label"),
        ("id,target\nabc,0\nabc,0\n", "1 ids stand twice: abc"),
        ("id,target\n../a,0\n", "ids must be 3 to 64 letters"),
    ],
)
def test_wrong_samples(tmp_path, text, message):
    if text is not None:
        (tmp_path / "sample_submission.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        g2net.submission(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        unlabelled.opened(tmp_path / "nowhere")


def test_targets_keep_the_order_of_the_loudest():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=500), np.linspace(30, 60, 500), [700.0]])
    values = rng.permutation(np.append(values, values[:50]))
    found = predict.targets(values)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert found == pytest.approx(expit(values), abs=1e-12)
    order = np.argsort(values, kind="stable")
    rises, steps = np.diff(values[order]) > 0, np.diff(found[order])
    assert (steps[rises] > 0).all()
    assert (steps[~rises] == 0).all()
    # The probability alone would not do.
    assert (np.diff(expit(values[order]))[rises] == 0).any()
