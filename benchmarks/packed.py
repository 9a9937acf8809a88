"""Windows per core-second of packed data, beside the files and other formats.

Every way holds the same whitened windows, 12 KB each, in half precision, and is read in
batches of 64 in random order, from the page cache. Then one bit is flipped in the data
of a copy: it is found or not. Blocks of neighbours, where a format cannot be read in
random order, are 64 windows in random order of blocks.

    python -m benchmarks.packed [windows]
"""

import sys
import tempfile
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from gwres import proof
from gwres.strain import DETECTORS, WHITENED_SAMPLES

BATCH = 64
ROW = WHITENED_SAMPLES, len(DETECTORS)
BYTES = 2 * ROW[0] * ROW[1]


def files(folder, windows):
    """One .npy file for each window: strain as it comes, in double precision."""
    strain = np.zeros((len(DETECTORS), 2 * ROW[0]))
    for number, one in enumerate(windows):
        strain[:, : ROW[0]] = one.T
        np.save(folder / f"{number:06d}.npy", strain)
    return lambda: lambda chosen: [np.load(folder / f"{i:06d}.npy") for i in chosen]


def mapped(folder, windows):
    """A memory map, without digests."""
    np.save(folder / "all.npy", windows)

    def opened():
        held = np.load(folder / "all.npy", mmap_mode="r")
        return lambda chosen: held[chosen]

    return opened


def summed(folder, windows):
    """A memory map with a CRC-32 of each window."""
    plain = mapped(folder, windows)
    sums = np.array([zlib.crc32(one.tobytes()) for one in windows])

    def opened():
        rows = plain()

        def read(chosen):
            found = rows(chosen)
            if [zlib.crc32(one) for one in found] != sums[chosen].tolist():
                raise ValueError("damaged")

        return read

    return opened


def ours(folder, windows):
    """What `data.pack` writes: see `proof.Rows`."""
    path = folder / "all.npy"
    with proof.writing_rows(path, windows.dtype, windows.shape) as append:
        append(windows)
    return lambda: proof.Rows(path).__getitem__


def hdf(folder, windows):
    """HDF5 with Fletcher's checksum of blocks of 64 windows."""
    path = folder / "all.hdf"
    with h5py.File(path, "w") as file:
        file.create_dataset("all", data=windows, chunks=(BATCH, *ROW), fletcher32=True)

    def opened():
        held = h5py.File(path)["all"]
        return lambda chosen: held[chosen[0] : chosen[-1] + 1]

    return opened


def parquet(folder, windows):
    """Parquet with checksums of pages, a row group for 64 windows."""
    path, column = folder / "all.parquet", [one.tobytes() for one in windows]
    pq.write_table(
        pa.table({"window": pa.array(column, pa.binary(BYTES))}),
        path,
        row_group_size=BATCH,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )

    def opened():
        held = pq.ParquetFile(path, page_checksum_verification=True)

        def read(chosen):
            group = held.read_row_group(chosen[0] // BATCH).column(0).chunk(0)
            return np.frombuffer(group.buffers()[1], np.float16).reshape(-1, *ROW)

        return read

    return opened


def records(folder, windows):
    """TFRecord, which is read in its order; a shuffle buffer would come on top."""
    path = str(folder / "all.tfrecord")
    with tf.io.TFRecordWriter(path) as file:
        for one in windows:
            file.write(one.tobytes())

    def opened():
        every = tf.data.TFRecordDataset(path).repeat().batch(BATCH)
        held = iter(every.map(lambda one: tf.io.decode_raw(one, tf.float16)))
        return lambda _: next(held).numpy()

    return opened


# Title, order of windows, and function that writes them into a folder and gives one
# that opens it: a function of the numbers of windows, which reads them.
WAYS = (
    ("files of strain, np.load", "windows", files),
    ("npy memory map", "windows", mapped),
    ("npy memory map, zlib.crc32", "windows", summed),
    ("gwres: npy, XXH3", "windows", ours),
    ("HDF5, fletcher32", "blocks", hdf),
    ("Parquet, page checksums", "blocks", parquet),
    ("TFRecord", "in order", records),
)


def batches(order, count, rng):
    """Numbers of the windows of every batch of an epoch."""
    blocks = np.arange(count).reshape(-1, BATCH)
    if order == "windows":
        return rng.permutation(count).reshape(-1, BATCH)
    return blocks[rng.permutation(len(blocks))] if order == "blocks" else blocks


def rate(read, order, count, rng):
    """Windows per core-second, the best of three epochs."""
    best = 0.0
    for _ in range(3):
        chosen = batches(order, count, rng)
        begun = time.process_time()
        for one in chosen:
            read(one)
        best = max(best, count / (time.process_time() - begun))
    return best


def flipped(opened, folder, count):
    """What an epoch says of one bit that is flipped in the middle of the data."""
    path = max(folder.iterdir(), key=lambda one: one.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    try:
        read = opened()
        for one in batches("in order", count, None):
            read(one)
    except Exception as error:
        return f"found ({type(error).__name__})"
    return "silent"


def main(count):
    """Measure and print the table."""
    count -= count % BATCH
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(count, *ROW)).astype(np.float16)
    print(f"{count} windows of {BYTES} bytes, batches of {BATCH}")
    for title, order, write in WAYS:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            opened = write(folder, windows)
            fast = rate(opened(), order, count, rng)
            told = flipped(opened, folder, count)
        print(f"{title:<28}{order:<10}{fast:>12,.0f}  {told}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
