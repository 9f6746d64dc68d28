"""Long runs that try to break the library, one a module; results are in ``bench/results/reliability/``."""
