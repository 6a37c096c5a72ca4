"""Timings on this machine: `python -m tests.bench NAME`, host, cpu, beam or structured."""
