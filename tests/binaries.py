"""Binaries of given parameters, recorded by gwres and, independently, by bilby."""

from importlib.resources import files

import bilby
import numpy as np
from bilby.gw.conversion import convert_to_lal_binary_black_hole_parameters
from bilby.gw.detector import InterferometerList, PowerSpectralDensity
from bilby.gw.source import lal_binary_black_hole

from gwres.simulate import dataset
from gwres.simulate.detectors import GPS
from gwres.strain import DETECTORS, SAMPLE_RATE, SAMPLES

bilby.core.utils.logger.setLevel("ERROR")
SECONDS = 8  # long enough for any of them from 20 Hz up
CURVES = {
    "H1": "aLIGO_O4_high_asd.txt",
    "L1": "aLIGO_O4_high_asd.txt",
    "V1": str(files("gwres.simulate") / "virgo_O4high_asd.txt"),
}
# Heavy and light, edge on and face on, precessing and not.
HEAVY = {
    "chirp_mass": 30.0,
    "mass_ratio": 0.8,
    "a_1": 0.3,
    "a_2": 0.1,
    "tilt_1": 0.4,
    "tilt_2": 2.0,
    "phi_12": 1.0,
    "phi_jl": 2.0,
    "theta_jn": 0.6,
    "phase": 0.7,
    "luminosity_distance": 800.0,
    "ra": 1.2,
    "dec": -0.9,
    "psi": 0.5,
    "merger_time": 1.65,
}
LIGHT = HEAVY | {
    "chirp_mass": 11.0,
    "mass_ratio": 0.35,
    "a_1": 0.9,
    "tilt_1": 1.5,
    "theta_jn": 2.2,
    "ra": 4.0,
    "dec": 0.7,
    "psi": 2.8,
    "merger_time": 1.55,
}


class Given:
    """A population of one binary."""

    approximant, held_s = "IMRPhenomPv2", None

    def __init__(self, parameters):
        self.parameters, self.loudness = parameters, self

    def distance(self, quantile, reach):
        """The given distance, however far the binary reaches."""
        return np.full(len(reach), self.parameters["luminosity_distance"])

    def draw(self, rng, count, names):
        """The given parameters, whatever the generator says."""
        return {name: np.full(count, self.parameters[name]) for name in names}


def record(parameters):
    """Strain (3, 4096) and truth of a binary, by gwres."""
    return dataset.signal(Given(parameters), np.random.default_rng(0))


def bilby_record(parameters):
    """Strain (3, 4096) and optimal SNRs (3,) of a binary, by bilby."""
    generator = bilby.gw.WaveformGenerator(
        duration=SECONDS,
        sampling_frequency=SAMPLE_RATE,
        frequency_domain_source_model=lal_binary_black_hole,
        parameter_conversion=convert_to_lal_binary_black_hole_parameters,
        waveform_arguments={
            "waveform_approximant": Given.approximant,
            "reference_frequency": 20.0,
            "minimum_frequency": 20.0,
        },
    )
    network = InterferometerList(list(DETECTORS))
    for detector in network:
        detector.minimum_frequency = 20.0
        detector.power_spectral_density = PowerSpectralDensity(
            asd_file=CURVES[detector.name]
        )
    parameters = dict(parameters)
    start = GPS - parameters.pop("merger_time")
    network.set_strain_data_from_zero_noise(SAMPLE_RATE, SECONDS, start_time=start)
    network.inject_signal(
        parameters=parameters | {"geocent_time": GPS}, waveform_generator=generator
    )
    strain = [d.strain_data.time_domain_strain[:SAMPLES] for d in network]
    snrs = [d.meta_data["optimal_SNR"] for d in network]
    return np.stack(strain), np.array(snrs)
