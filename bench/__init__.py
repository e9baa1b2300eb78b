"Programs that measure kdnb beside the libraries people compare it with. `python -m bench.kd --help`"
