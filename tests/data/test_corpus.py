"""What training reads: whitened batches that repeat exactly, windows in order."""

import numpy as np
import pytest

from gwres import cache
from gwres.data.corpus import open_corpus
from gwres.data.g2net import folder
from gwres.data.settings import Data, Live, eased, loudness
from gwres.data.split import ENOUGH, SPLITS
from gwres.errors import InputError

SMALL = {"bank": 48, "judged": 40, "psd_windows": 40}


@pytest.fixture(scope="module")
def live():
    return open_corpus(Data(**SMALL))


@pytest.fixture(scope="module")
def packed(simulated):
    return open_corpus(Data(source=str(simulated)))


def taken(dataset):
    return [(x.numpy(), y.numpy()) for x, y in dataset]


@pytest.mark.parametrize("kind", ["live", "packed"])
def test_batches_go_on_exactly_where_they_stopped(kind, request):
    opened = request.getfixturevalue(kind)
    settings = Live(batch=16, loud=1.0)
    whole = taken(opened.batches(settings, 5, 6))
    rest = taken(opened.batches(settings, 5, 6, first=4))
    assert len(whole) == 6
    for (x, y), (again, label) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, label)
    other = taken(opened.batches(settings, 6, 6))
    assert np.abs(other[0][0] - whole[0][0]).max() > 0.1


@pytest.mark.parametrize("kind", ["live", "packed"])
def test_permuted_labels_leave_the_windows_as_they_are(kind, request):
    opened = request.getfixturevalue(kind)
    plain = taken(opened.batches(Live(batch=16, loud=1.0), 5, 6))
    permuted = taken(opened.batches(Live(batch=16, loud=1.0, permute=True), 5, 6))
    again = taken(opened.batches(Live(batch=16, loud=1.0, permute=True), 5, 6, first=3))
    for (x, y), (same, told) in zip(plain, permuted, strict=True):
        np.testing.assert_array_equal(x, same)
        assert told.sum() == y.sum()
    moved = [(y != told).mean() for (_, y), (_, told) in zip(plain, permuted)]
    assert 0.2 < np.mean(moved) < 0.8
    for (_, told), (_, once_more) in zip(permuted[3:], again, strict=True):
        np.testing.assert_array_equal(told, once_more)


def test_live_pairs_share_their_noise(live):
    x, y = taken(live.batches(Live(batch=32, loud=3.0, drop=0.0), 1, 1))[0]
    assert x.shape == (32, 2048, 3)
    assert y[:16].all()
    assert not y[16:].any()
    noise, signal = x[16:], x[:16] - x[16:]
    assert noise[:, 200:-200].std() == pytest.approx(0.976, abs=0.01)
    norms = np.sqrt((signal**2).sum((1, 2)))
    # Three times as loud at the first step: SNR 6 in the median becomes about 18.
    assert 8 < np.median(norms) < 40
    early = (signal[:, :1200] ** 2).sum() / (signal**2).sum()
    assert early < 0.4, "the merger lies late in the window"


def test_live_detectors_are_dropped_alike_in_both_of_a_pair(live):
    x, _ = taken(live.batches(Live(batch=64, loud=3.0, drop=0.5), 1, 1))[0]
    silent = ~x.any(axis=1)
    assert (silent[:32] == silent[32:]).all()
    assert 0.2 < silent.mean() < 0.6
    assert not silent.all(axis=1).any(), "one detector always stays"


def test_loudness_eases_to_one():
    settings = Live(loud=3.0, ease=0.4)
    factors = [loudness(step, 100, settings) for step in (0, 20, 40, 99)]
    assert factors == pytest.approx([3.0, 2.0, 1.0, 1.0])
    assert loudness(0, 100, Live(loud=3.0, ease=0.0)) == 1.0
    with pytest.raises(InputError, match="Recipe.sized"):
        loudness(0, 100, Live())


@pytest.mark.parametrize(
    ("loud", "ease", "epochs", "first"),
    [(1.0, 0.4, 12, 0), (3.0, 0.4, 12, 5), (3.0, 0.5, 12, 6), (3.0, 1.0, 3, 2)],
)
def test_the_best_epoch_is_one_of_signals_as_they_are(loud, ease, epochs, first):
    settings = Live(loud=loud, ease=ease)
    assert eased(epochs, settings) == first
    steps = 5 * epochs
    if ease < 1:
        assert loudness(5 * first, steps, settings) == 1.0


def test_every_packed_window_comes_once_an_epoch(packed):
    count = packed.size
    settings = Live(batch=count, drop=0.0)
    for x, y in taken(packed.batches(settings, 0, 2)):
        # Sign, swap and shift leave a window's energy as it is.
        energy = np.sort((x**2).sum((1, 2)))
        assert len(np.unique(energy.round(1))) > 0.9 * count
        assert 0 < y.sum() < count


def test_windows_come_in_the_tables_order(packed, simulated):
    found = folder(simulated)
    for windows in packed.judged.values():
        names = windows.table["id"]
        chunks = [strain for strain, _ in windows.chunks(2)]
        if len(names):
            strain = np.concatenate(chunks)
            np.testing.assert_array_equal(strain[-1], found.window(names.iloc[-1]))


def test_snrs_of_a_simulated_folder_are_known(packed):
    for windows in packed.judged.values():
        known = windows.table["network_snr"].notna()
        assert (known == (windows.table["label"] == 1)).all()


def test_splits_keep_apart_and_hash_agrees(live, packed):
    for opened in (live, packed):
        names = [set(windows.table["id"]) for windows in opened.judged.values()]
        assert len(set.union(*names)) == sum(map(len, names))
    assert live.split_hash == open_corpus(Data(**SMALL)).split_hash
    assert live.split_hash != packed.split_hash


def test_a_bad_file_stops_the_pack_and_leaves_nothing(copy):
    victim = folder(copy).table.query("split == 'train' and label == 1")["id"].iloc[-1]
    path = copy / "train" / victim[0] / victim[1] / victim[2] / f"{victim}.npy"
    np.save(path, np.zeros((3, 4096)))
    opened = open_corpus(Data(source=str(copy)))
    before = set((cache.root() / "pack").glob("*")) | {None}
    with pytest.raises(InputError, match=victim):
        opened.batches(Live(batch=8), 0, 1)
    after = {path for path in (cache.root() / "pack").glob("*") if path.is_dir()}
    assert after <= before


def test_psd_is_fitted_on_training_noise_alone(copy, packed):
    """Changing any other row's file leaves the PSD as it was."""
    table = folder(copy).table
    other = table[(table["split"] != "train") | (table["label"] == 1)]["id"]
    for name in other:
        path = copy / "train" / name[0] / name[1] / name[2] / f"{name}.npy"
        np.save(path, np.load(path) * 10)
    np.testing.assert_array_equal(open_corpus(Data(source=str(copy))).asd, packed.asd)
    noise = table[(table["split"] == "train") & (table["label"] == 0)]["id"].iloc[0]
    path = copy / "train" / noise[0] / noise[1] / noise[2] / f"{noise}.npy"
    np.save(path, np.load(path) * 10)
    assert (open_corpus(Data(source=str(copy))).asd > packed.asd * 1.01).mean() > 0.9


def test_splits_of_one_label_are_told_with_what_it_takes(simulated, copy, caplog):
    """Before anything is trained; the windows are judged as far as that goes."""
    table = folder(copy).table
    split = table.loc[table["split"] != "train", "split"].iloc[0]
    rows = table[(table["split"] == split) & (table["label"] == 1)]
    if len(rows) == (table["split"] == split).sum():
        raise AssertionError("the split must lose one of its labels by this test")
    for name in rows["id"]:
        (copy / "train" / name[0] / name[1] / name[2] / f"{name}.npy").unlink()
    opened = open_corpus(Data(source=str(copy), strict=False))
    left = len(opened.judged[split])
    assert f"{split} ({left})" in caplog.text
    assert "lack one label" in caplog.text and "250 windows" in caplog.text


def test_so_many_windows_give_every_split_both_labels():
    rng, shares = np.random.default_rng(0), np.array([*SPLITS.values()]) / 200
    counts = rng.multinomial(ENOUGH, np.concatenate([shares, shares]), 20_000)
    assert 0.97 < (counts > 0).all(axis=1).mean() < 0.995
