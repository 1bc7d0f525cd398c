"""cold_start.py CONTENDER: seconds from the start of this program to the end of two training steps of an MLP."""

import sys
import time

START = time.perf_counter()

from frameworks import framework  # noqa: E402  (the clock starts first)
from rows import training  # noqa: E402


def main(name: str) -> None:
    step = training.mlp().contenders[name](framework(name.split(".")[0]))
    step()
    step()
    print(time.perf_counter() - START)


if __name__ == "__main__":
    main(sys.argv[1])
