"""Files of strain: what kinds there are, how each is read, and where to get them."""

import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import gwosc.api
import h5py
import requests
import tenacity
from gwosc.locate import get_event_urls
from gwpy.io.gwf import get_channel_names
from gwpy.timeseries import StateVector, TimeSeries

from gwres import cache
from gwres.errors import InputError
from gwres.strain import DETECTORS

logger = logging.getLogger(__name__)

SUFFIXES = (".hdf5", ".hdf", ".h5", ".gwf")
# Strain channels of GWOSC's frames, without the detector.
CHANNELS = ("LOSC-STRAIN", "GWOSC-4KHZ_R1_STRAIN", "GWOSC-16KHZ_R1_STRAIN")
# Bits of GWOSC's masks in their order, for frames, which do not name them.
DQ_BITS = (
    "DATA",
    "CBC_CAT1",
    "CBC_CAT2",
    "CBC_CAT3",
    "BURST_CAT1",
    "BURST_CAT2",
    "BURST_CAT3",
)
INJECTION_BITS = (
    "NO_CBC_HW_INJ",
    "NO_BURST_HW_INJ",
    "NO_DETCHAR_HW_INJ",
    "NO_CW_HW_INJ",
    "NO_STOCH_HW_INJ",
)
DOWNLOAD_S = 60.0  # that a server may be silent


def listed(sources):
    """The files that a file, a folder or a list of them stands for: list of Path.

    Raises:
        InputError: one is not there, or a folder holds none.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    files = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(
                path
                for path in source.iterdir()
                if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
            )
            if not inside:
                raise InputError(
                    f"{source}: expected files that end in {', '.join(SUFFIXES)}; "
                    "found none"
                )
            files += inside
        elif source.is_file():
            files.append(source)
        else:
            raise InputError(f"{source}: no such file")
    if not files:
        raise InputError("expected files of strain; received none")
    return files


def stretches(path, channels=()):
    """What a file holds.

    Args:
        path: GWOSC's HDF5, frames (GWF), or data of MLGWSC-1 (HDF5), told apart by
            their content.
        channels: strain channels of frames with other names than GWOSC's.

    Returns:
        list of (detector, function that gives GPS start, rate in Hz and strain (n,),
        masks). Masks are (GPS start, s between values, names of the bits, values); None
        where the file cannot have any.

    Raises:
        InputError: it is damaged, of another kind or detector, or lacks the channel.
    """
    with path.open("rb") as file:
        signature = file.read(4)
    if signature == b"IGWD":
        return _frames(path, channels)
    if signature != b"\x89HDF":
        raise InputError(
            f"{path}: expected HDF5 or a frame file (GWF); it begins with {signature}"
        )
    with _reading(path), h5py.File(path) as file:
        if "strain/Strain" in file:
            detector = file["meta/Detector"][()].decode()
            _known(path, detector)
            return [(detector, partial(_load_gwosc, path), _masks_gwosc(path))]
        names = [
            (detector, name)
            for detector in DETECTORS
            if isinstance(file.get(detector), h5py.Group)
            for name in file[detector]
        ]
        found = ", ".join(list(file)[:10])
    if not names:
        raise InputError(
            f"{path}: expected strain/Strain, as in GWOSC's files, or groups H1, L1, "
            f"as in those of MLGWSC-1; found {found or 'nothing'}"
        )
    return [
        (detector, partial(_load_challenge, path, f"{detector}/{name}"), None)
        for detector, name in names
    ]


# What the libraries raise on a file that is not as its kind should be.
FOREIGN = (OSError, RuntimeError, ValueError, KeyError, TypeError)


class _reading:
    """What libraries say of a file that they cannot read, as an `InputError`."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        foreign = isinstance(error, FOREIGN)
        if foreign and not isinstance(error, InputError):
            text = f"{self.path}: could not be read: damaged or cut short? ({error})"
            raise InputError(text) from error


def _known(path, detector):
    if detector not in DETECTORS:
        raise InputError(
            f"{path}: expected a detector of {', '.join(DETECTORS)}; received "
            f"{detector}"
        )


def _plain(series):
    return float(series.t0.value), float(series.sample_rate.value), series.value


def _load_gwosc(path):
    with _reading(path):
        return _plain(TimeSeries.read(str(path), format="hdf5.gwosc"))


def _masks_gwosc(path):
    masks = []
    for group, values, bits in (
        ("quality/simple", "DQmask", "DQShortnames"),
        ("quality/injections", "Injmask", "InjShortnames"),
    ):
        mask = StateVector.read(
            str(path),
            format="hdf5.gwosc",
            path=group,
            value_dataset=values,
            bits_dataset=bits,
        )
        masks.append((mask.t0.value, mask.dt.value, tuple(mask.bits), mask.value))
    return masks


def _load_challenge(path, name):
    with _reading(path), h5py.File(path) as file:
        data = file[name]
        return float(data.attrs["start_time"]), 1 / data.attrs["delta_t"], data[()]


# Ends with 0 for a file that the frame library opens, whose own checksum is right.
OPENED = """
import os, sys
import lalframe
path = sys.argv[1]
file = lalframe.FrameUFrFileOpen(path, "r")
if not lalframe.FrameUFileCksumValid(file):
    sys.exit("its checksum is wrong")
lalframe.FrameUFrTOCRead(file)
lalframe.FrStreamOpen(*os.path.split(os.path.abspath(path)))
"""


def _check_frame(path):
    """Refuse a frame file that is damaged.

    In a process of its own, for the frame library ends the one that it is in on some.
    """
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(path)], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        reason = last if done.returncode > 0 else "the frame library breaks off"
        raise InputError(f"{path}: {reason}; damaged or cut short?")


def _frames(path, channels):
    try:
        import lalframe  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{path}: reading frames needs lalframe; install it with: pip install "
            "lalsuite"
        ) from error
    _check_frame(path)
    with _reading(path):
        there = get_channel_names(str(path), backend="lalframe")
    usual = [f"{detector}:{name}" for detector in DETECTORS for name in CHANNELS]
    found = {}
    for channel in [*channels, *usual]:
        if channel in there:
            found.setdefault(channel.partition(":")[0], channel)
    if not found:
        raise InputError(
            f"{path}: expected a channel of {', '.join([*channels, *usual])}; it has "
            f"{', '.join(there[:10])}"
        )
    inside = []
    for detector, channel in found.items():
        _known(path, detector)
        masks = []
        for kind, bits in (("DQMASK", DQ_BITS), ("INJMASK", INJECTION_BITS)):
            name = channel.replace("STRAIN", kind)
            if name != channel and name in there:
                start, rate, values = _load_frame(path, name)
                masks.append((start, 1 / rate, bits, values))
        if not masks:
            logger.warning(
                "%s: no masks beside %s; its quality is not known", path, channel
            )
        load = partial(_load_frame, path, channel)
        inside.append((detector, load, masks or None))
    return inside


def _load_frame(path, channel):
    with _reading(path):
        series = TimeSeries.read(str(path), channel, format="gwf", backend="lalframe")
        return _plain(series)


def event(name, host=gwosc.api.DEFAULT_URL):
    """Download the strain around an event, 4096 s at 4096 Hz of each detector, once.

    Args:
        name: as GWOSC knows it, such as "GW150914".
        host: address of the service.

    Returns:
        Paths of the files, in the cache, for `open_strain`.

    Raises:
        InputError: the service cannot be reached, or knows no such event.

    Source:
        The client of gwosc.org: `gwosc.locate.get_event_urls`.
    """

    def download(folder):
        try:
            urls = get_event_urls(name, duration=4096, host=host)
            for url in urls:
                _download(url, folder / Path(url).name)
        except requests.HTTPError as error:
            raise InputError(
                f"event {name}: {host} does not have it under this name ({error})"
            ) from error
        except (requests.RequestException, tenacity.RetryError) as error:
            raise InputError(
                f"event {name}: {host} could not be reached ({error}); download its "
                "files on a machine with internet, and give their paths"
            ) from error
        if not urls:
            raise InputError(f"event {name}: {host} has no strain of it")

    folder = cache.folder("event", {"event": name, "host": host}, download)
    return [path for path in sorted(folder.iterdir()) if path.suffix == ".hdf5"]


def _download(url, path):
    with requests.get(url, stream=True, timeout=DOWNLOAD_S) as answer:
        answer.raise_for_status()
        with path.open("wb") as file:
            for block in answer.iter_content(2**20):
                file.write(block)
