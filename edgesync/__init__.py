"""The `edgesync` command: `serve`, `sim`, `demo`, `bench`."""

__version__ = "0.1.0"
