"""Search of continuous strain: candidates with false-alarm rates."""
