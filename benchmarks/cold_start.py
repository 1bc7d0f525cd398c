"""cold_start.py CONTENDER: seconds from importing the framework to the end of two training steps of an MLP.

What all contenders share is there before the clock starts: NumPy, the data, and this program.
"""

import sys
import time

from frameworks import framework
from rows import training


def main(name: str) -> None:
    row = training.mlp()
    start = time.perf_counter()
    step = row.contenders[name](framework(name.split(".")[0]))
    step()
    step()
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1])
