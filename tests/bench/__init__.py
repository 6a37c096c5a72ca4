"""Timings on this machine: `python -m tests.bench host` and `python -m tests.bench cpu`."""
