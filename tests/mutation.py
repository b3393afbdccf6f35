"""Mutation testing: mutmut changes the engine in thousands of places, one at a time, and the tests should notice.

    python tests/mutation.py                          everything, some twenty minutes on two cores
    python tests/mutation.py 'tinytensor.optim.*'     the mutants whose names match
    python tests/mutation.py --write                  everything, and what survived into tests/mutation_survivors.txt

Prints what was not noticed, as a diff each, and the score per file: mutants killed (a test failed, or ran out of time)
of all. What is mutated, and which tests are run, stands in setup.cfg under [mutmut].
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

try:
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import walk_mutatable_files
except ModuleNotFoundError as error:
    sys.exit(f"mutation testing needs mutmut ({error}): pip install -c constraints.txt -e '.[mutation]'")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


SURVIVORS = Path(__file__).with_name("mutation_survivors.txt")


def main(patterns: list[str], write: bool = False) -> None:
    shutil.rmtree("mutants", ignore_errors=True)  # verdicts of older tests would stand otherwise
    command = [sys.executable, "-m", "mutmut", "run", *patterns]
    # one thread per process: a forked child has none of its parent's BLAS threads, and there is a process per core
    subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=True)
    counts: dict[str, Counter[str]] = {}
    survivors: list[str] = []
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            if patterns and not any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                continue
            status = status_by_exit_code[code]
            counts.setdefault(str(path), Counter())[status] += 1
            if status not in ("killed", "timeout"):
                lines = get_diff_for_mutant(name, path=path).splitlines()
                changed = [line[0] + line[1:].strip() for line in lines[2:] if line[:1] in ("+", "-")]
                survivors.append("\n".join([f"{status}: {name}", *changed]))
                print(f"\n{survivors[-1]}")
    if write:
        SURVIVORS.write_text("\n\n".join(survivors) + "\n", "utf-8")
    print(f"\n{'':40} mutants  killed  timeout  survived  no tests  other  score")
    for path, count in [*counts.items(), ("total", sum(counts.values(), Counter()))]:
        killed, late, survived, untested = (count[s] for s in ("killed", "timeout", "survived", "no tests"))
        total = count.total()
        other = total - killed - late - survived - untested
        print(
            f"{path:40} {total:7} {killed:7} {late:8} {survived:9} {untested:9} {other:6}"
            f" {(killed + late) / total:6.1%}"
        )


if __name__ == "__main__":
    main([argument for argument in sys.argv[1:] if argument != "--write"], "--write" in sys.argv)
