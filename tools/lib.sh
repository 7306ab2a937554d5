# lib.sh: what tools/demo, tools/test and tools/fuzz share: packages, the Python environment, the builds. Sourced by
# bash; leaves the shell in the root of the tree. Everything it makes goes under build/.
#
# Environment: H5NEURAL_TORCH=OFF  no LibTorch (saves a download of 544 MB; no training, no worker)
#              H5NEURAL_JOBS=N     jobs of a build at a time (default: all cores)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch=${H5NEURAL_TORCH:-ON}
jobs=${H5NEURAL_JOBS:-$(nproc)}
python=build/venv/bin/python

say() { printf '\n== [%4d s] %s\n' "$SECONDS" "$*"; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

# The first python3 that can make an environment and is new enough for requirements.txt; nothing where there is none.
host_python() {
  local p
  for p in /usr/bin/python3 python3; do
    if "$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$p"
      return
    fi
  done
}

# Debian packages, one list for each release that is tested. python3-venv only where no python3 can do without.
install_packages() {
  local wanted missing=() p sudo=()
  case "$(. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}")" in
    debian-12)
      wanted=(build-essential cmake ninja-build git pkg-config hdf5-tools netcdf-bin libhdf5-dev libzstd-dev libxxhash-dev
        libhwy-dev libcli11-dev nlohmann-json3-dev libfmt-dev libgtest-dev libbenchmark-dev
        clang-14 libclang-rt-14-dev clang-format-14)
      ;;
    *)
      say "This is not Debian 12: no packages installed. HACKING.md lists what the build needs."
      return
      ;;
  esac
  [ -n "$(host_python)" ] || wanted+=(python3-venv)
  for p in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "Debian packages: all ${#wanted[@]} are there"
    return
  fi
  say "Debian packages: installing ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "needs root or sudo to run: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
    >build/apt.log 2>&1 || { tail -n 20 build/apt.log >&2; die "apt-get failed; the whole log is build/apt.log"; }
  grep -hE '^(Need to get|After this)' build/apt.log || true
}

# build/venv: the packages of requirements.txt, LibTorch, and the h5neural package of this tree.
make_python() {
  local host stamp want
  host=$(host_python)
  [ -n "$host" ] || die "no python3 (3.11 or newer) that can make an environment; install python3-venv"
  stamp=build/venv/.h5neural-stamp
  want=$(sha256sum tools/requirements.txt tools/torch.txt; echo "torch $torch $host")
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    say "Python environment: build/venv is up to date"
    return
  fi
  say "Python environment: build/venv, packages of tools/requirements.txt"
  [ -x "$python" ] || "$host" -m venv build/venv
  "$python" -m pip install --disable-pip-version-check -q -r tools/requirements.txt
  if [ "$torch" != OFF ]; then
    say "LibTorch: 544 MB from PyPI for training and the worker (H5NEURAL_TORCH=OFF goes without)"
    # --no-deps: torch asks for 2 GB of CUDA libraries that nothing here is linked to.
    "$python" -m pip install --disable-pip-version-check -q --no-deps -r tools/torch.txt
  fi
  echo "$PWD/tools/python" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/h5neural.pth"
  echo "$want" >"$stamp"
}

# build PRESET [-D...]: configures and builds build/PRESET; says nothing but what fails.
build() {
  local preset=$1 log=build/$1.log
  shift
  say "Build: $preset (log in $log)"
  { cmake --preset "$preset" "$@" && cmake --build --preset "$preset" -j "$jobs"; } >"$log" 2>&1 || {
    grep -nE 'error|FAILED|CMake Error' "$log" | head -n 20 >&2 || true
    tail -n 20 "$log" >&2
    die "the build of preset $preset failed; the whole log is $log"
  }
}

build_release() { build release -DH5NEURAL_TORCH="$torch"; }

# build_fuzz: the libFuzzer targets, with clang, into build/fuzz/bin.
build_fuzz() { build fuzz; }

mkdir -p build
