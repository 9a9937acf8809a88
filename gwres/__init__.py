"""Train, compare, stack and serve residual networks that detect gravitational waves."""

__version__ = "0.1.0"
