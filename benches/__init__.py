"""Benchmarks: peers beside us in one run, ratios, committed results. Nothing here is imported by the package.

``python -m benches.run`` prints and writes everything, ``python -m benches.quick`` is the gate of CI,
``python -m benches.icount`` counts instructions. README.md says how it is measured and where it is biased.
"""
