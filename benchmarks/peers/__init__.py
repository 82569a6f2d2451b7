"""The same task graphs with the same task body, one module for each who runs them.

``python -m benchmarks.peers.run_<peer> <shape> <n> --mode <mode>`` makes one run and prints a line of
JSON. Most of these modules are imported where ARIA is not installed: only those whose name says so need it.
"""
