"""Meters: energy, power and memory of one job. Each library is imported by exactly one file here, when it is
used."""
