"""Timings on this machine: `python -m tests.bench host`, `… cpu` and `… beam`."""
