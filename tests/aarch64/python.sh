#!/usr/bin/env bash
# Python on an emulated AArch64 processor: tests/aarch64/python.sh CPU CACHE [arguments of Python]. See docs/aarch64.md.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: python.sh CPU CACHE [arguments of Python]" >&2; exit 2; }
cpu="$1" cache="$2"
shift 2
repository="$(cd "$(dirname "$0")/../.." && pwd)"
mkdir -p "$cache"
cache="$(cd "$cache" && pwd)"
root="$cache/root" site="$cache/site"
release="${DEBIAN_RELEASE:-bookworm}" python="${DEBIAN_PYTHON:-3.11}"  # the two belong together

need() {
    command -v "$1" > /dev/null || { echo "python.sh needs $1: $2" >&2; exit 2; }
}
need qemu-aarch64-static "install the package qemu-user-static"
need dpkg "a Debian or a descendant"
need apt-get "a Debian or a descendant"

# An interpreter and its libraries from Debian's arm64 packages. They are unpacked into the cache and never installed,
# through lists of apt's own that leave the machine's as they are; no root is needed.
if [ ! -e "$root/.complete" ]; then
    rm -rf "$root" "$cache/apt"
    mkdir -p "$root" "$cache/apt/state/lists/partial" "$cache/apt/cache/archives/partial" "$cache/debs"
    : > "$cache/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian} $release main" > "$cache/apt/sources.list"
    cat > "$cache/apt/apt.conf" << CONF
Dir::State "$cache/apt/state";
Dir::State::status "$cache/apt/status";
Dir::Cache "$cache/apt/cache";
Dir::Etc::sourcelist "$cache/apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
CONF
    export APT_CONFIG="$cache/apt/apt.conf"
    apt-get -qq update
    (
        cd "$cache/debs"
        apt-get -qq download libc6 libgcc-s1 libstdc++6 libgomp1 zlib1g libffi8 libexpat1 libbz2-1.0 liblzma5 libuuid1 \
            "libpython$python-minimal" "libpython$python-stdlib" "python$python-minimal" "python$python"
        for package in *.deb; do dpkg -x "$package" "$root"; done
    )
    unset APT_CONFIG
    touch "$root/.complete"
fi

# What the project and its tests import, as wheels for AArch64.
if [ ! -e "$site/.complete" ]; then
    rm -rf "$site"
    names="$(python3 - "$repository/pyproject.toml" << 'PY'
import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"])
PY
)"
    # shellcheck disable=SC2086  # one word a requirement
    python3 -m pip install --quiet --disable-pip-version-check --target "$site" --only-binary=:all: \
        --implementation cp --python-version "$python" --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        $names pytest hypothesis
    touch "$site/.complete"
fi

# Numba recognises no processor here and is told its name; each has machine code of its own on disk.
exec env PYTHONHOME="$root/usr" PYTHONPATH="$repository:$site" PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME="$cpu" NUMBA_CACHE_DIR="$cache/numba" HYPOTHESIS_STORAGE_DIRECTORY="$cache" \
    qemu-aarch64-static -cpu "$cpu" -L "$root" "$root/usr/bin/python$python" "$@"
