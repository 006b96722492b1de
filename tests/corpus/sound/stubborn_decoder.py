"""The process of `hbaf.corpus.sound.measure`, but for files whose names say how they would hurt it."""

import os
import sys
import time

from hbaf.corpus.sound import measure

_measure = measure.measure


def hurt(path, segments):
    if "deadly" in path.name:
        os.abort()
    if "endless" in path.name:
        time.sleep(600)
    if "huge" in path.name:
        bytearray(1 << 34)
    return _measure(path, segments)


if __name__ == "__main__":
    measure.measure = hurt
    measure.main(int(sys.argv[1]))
