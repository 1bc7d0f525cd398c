"""The suite for a GPU: `python benchmarks/gpu/run.py`."""
