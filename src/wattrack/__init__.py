"""wattrack: quality, speed, memory and energy of the same tokens in the same run."""

__version__ = "0.2.0.dev0"
