"""Small files of strain, written as GWOSC and the MLGWSC-1 challenge write theirs."""

import h5py
import numpy as np
from gwpy.timeseries import TimeSeries, TimeSeriesDict

from gwres.search.files import DQ_BITS, INJECTION_BITS
from gwres.strain import SAMPLE_RATE

GPS = 1_200_000_000


def white(seed, seconds, rate=4096):
    """White noise of detectors' size, (seconds * rate,)."""
    samples = round(seconds * rate)
    return 1e-21 * np.random.default_rng(seed).standard_normal(samples)


def tone(gps, seconds, rate, hertz=(30.0, 151.3, 507.7)):
    """What oscillates at some frequencies, sampled from a time on."""
    times = gps - GPS + np.arange(round(seconds * rate)) / rate
    return 1e-21 * sum(np.sin(2 * np.pi * each * times + each) for each in hertz)


def gwosc(path, detector, strain, gps=GPS, rate=4096, dq=None, injections=None):
    """Write a file in GWOSC's layout; masks are good where they are not given."""
    seconds = int(np.ceil(len(strain) / rate))
    with h5py.File(path, "w") as file:
        file["meta/Detector"] = detector
        file["meta/GPSstart"] = gps
        data = file.create_dataset("strain/Strain", data=strain, chunks=True)
        data.attrs.update(
            Xstart=gps, Xspacing=1 / rate, Xunits="second", Yunits="", Ylabel="Strain"
        )
        for group, name, short, bits, values in (
            ("simple", "DQmask", "DQ", DQ_BITS, dq),
            ("injections", "Injmask", "Inj", INJECTION_BITS, injections),
        ):
            full = np.full(seconds, 2 ** len(bits) - 1)
            values = np.asarray(full if values is None else values, "<u4")
            mask = file.create_dataset(f"quality/{group}/{name}", data=values)
            mask.attrs.update(Xstart=int(gps), Xspacing=1.0, Xunits="second")
            names = np.array(bits, "S")
            file[f"quality/{group}/{short}Shortnames"] = names
            file[f"quality/{group}/{short}Descriptions"] = names
    return path


def challenge(path, stretches):
    """Write data of MLGWSC-1: {(detector, GPS): strain at 2048 Hz}."""
    with h5py.File(path, "w") as file:
        for (detector, gps), strain in stretches.items():
            data = file.create_dataset(f"{detector}/{int(gps)}", data=strain)
            data.attrs.update(start_time=gps, delta_t=1 / SAMPLE_RATE)
    return path


def frame(path, channel, strain, gps=GPS, rate=4096, masks=None):
    """Write a frame with one strain channel, and masks {channel: values at 1 Hz}."""
    series = {channel: TimeSeries(strain, t0=gps, sample_rate=rate)}
    for name, values in (masks or {}).items():
        series[name] = TimeSeries(np.asarray(values, "uint32"), t0=gps, dt=1)
    for name, one in series.items():
        one.name = one.channel = name
    TimeSeriesDict(series).write(str(path), format="gwf", backend="lalframe")
    return path
