#!/usr/bin/env sh
# Builds .venv/ with the `burnline` command in it. Run by `make setup`; safe to run again.
#
# Bytewax ships wheels up to Python 3.12 only, so a fitting interpreter is looked for by running
# the candidates (a pyenv shim may exist and still refuse), then fetched with uv, else asked for.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.burnline-setup
wanted=$(cat requirements.lock pyproject.toml instrumentation/pyproject.toml scripts/setup.sh | cksum)
if [ -x .venv/bin/burnline ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] \
    && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi

fits='import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 12) and sys.implementation.name == "cpython"))'

make_venv() { # make_venv PYTHON: true when it fits and could build .venv with pip in it
  "$1" -c "$fits" >/dev/null 2>&1 || return 1
  rm -rf .venv
  "$1" -m venv .venv >/dev/null 2>&1 && .venv/bin/python -m pip --version >/dev/null 2>&1
}

fetch_python() { # uv from the PATH, or from PyPI by whatever Python 3 there is
  if command -v uv >/dev/null 2>&1; then
    uv=uv
  else
    rm -rf .venv-uv
    python3 -m venv .venv-uv >/dev/null 2>&1 && .venv-uv/bin/pip install -q uv >/dev/null 2>&1 || return 1
    uv=.venv-uv/bin/uv
  fi
  echo "burnline: no Python 3.11 or 3.12 here, fetching one with uv" >&2
  "$uv" python install 3.12 >/dev/null 2>&1 || return 1
  make_venv "$("$uv" python find 3.12)"
}

found=
for candidate in "${PYTHON:-}" python3.12 python3.11 python3 python \
    "${HOME:-/nonexistent}"/.pyenv/versions/3.12.*/bin/python "${HOME:-/nonexistent}"/.pyenv/versions/3.11.*/bin/python \
    /usr/local/bin/python3.12 /usr/local/bin/python3.11 /usr/bin/python3.12 /usr/bin/python3.11; do
  [ -n "$candidate" ] || continue
  if make_venv "$candidate"; then found=$candidate; break; fi
done
if [ -z "$found" ] && ! fetch_python; then
  rm -rf .venv .venv-uv
  echo "burnline: needs Python 3.11 or 3.12 with venv; install one (Debian: apt-get install python3.11-venv; elsewhere: uv python install 3.12), or name it: make setup PYTHON=/path/to/python3.12" >&2
  exit 1
fi
rm -rf .venv-uv

echo "burnline: installing into .venv with $(.venv/bin/python --version), from requirements.lock" >&2
.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
# The build warns of folders with the name of the package, which an editable install is all about.
PYTHONWARNINGS=ignore .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
  -e . -e instrumentation
printf '%s\n' "$wanted" >"$stamp"
