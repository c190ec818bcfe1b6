"""Every pytest run knows the rules for lectures (tests/notebooks/nbval_strict.py), whichever folder it is pointed at."""

pytest_plugins = ["nbval_strict"]
