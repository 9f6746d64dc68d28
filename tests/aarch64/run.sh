#!/usr/bin/env bash
# Tests of the vector kernels on AArch64, emulated: tests/aarch64/run.sh [CACHE [pytest arguments]]. See docs/aarch64.md.
set -euo pipefail

cache="${1:-${XDG_CACHE_HOME:-$HOME/.cache}/dqnumba-aarch64}"
[ $# -gt 0 ] && shift
repository="$(cd "$(dirname "$0")/../.." && pwd)"
mkdir -p "$cache"
cache="$(cd "$cache" && pwd)"

"${PYTHON:-python3}" -c "import numba, pytest, hypothesis" 2> /dev/null || {
    echo "run.sh needs a Python with this project's packages: activate its environment or set PYTHON" >&2; exit 2
}

# Whole programs are made here, and must give the same bytes there.
programs="$(mktemp -d)"
trap 'rm -rf "$programs"' EXIT
"${PYTHON:-python3}" "$repository/tests/aarch64/programs.py" "$programs"

# A Raspberry Pi 5 (with the instruction sdot) and a Raspberry Pi 4 (without: it would stop the emulated processor).
[ $# -gt 0 ] || set -- tests/kernels/dot/test_every_kernel.py tests/aarch64/test_programs.py
status=0
cd "$repository"
for cpu in cortex-a76 cortex-a72; do
    echo "== $cpu"
    DQNUMBA_PROGRAMS="$programs" NUMBA_NUM_THREADS=2 \
        "$repository/tests/aarch64/python.sh" "$cpu" "$cache" -m pytest -p no:cacheprovider "$@" || status=1
done
exit "$status"
