# shellcheck shell=bash
# Sourced by launchers that bring a virtual environment of their own.

# absolute FOLDER PATH: prints PATH, taken from FOLDER if it is relative.
absolute() {
  case $2 in
    /*) echo "$2" ;;
    *) echo "$1/$2" ;;
  esac
}

# Prints a Python from 3.11 to 3.13: $PYTHON if set, else the first on the PATH.
find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3
  do
    if "$candidate" -c \
      'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
    if [[ -n ${PYTHON:-} ]]; then
      echo "PYTHON=$PYTHON is not a Python from 3.11 to 3.13." >&2
      return 1
    fi
  done
  echo 'No Python from 3.11 to 3.13 on the PATH. Install one, or name it:' \
    'PYTHON=/path/to/python3.11' >&2
  return 1
}

# make_venv FOLDER PIP_ARGUMENT...: makes a virtual environment and installs
# into it, in the current folder. Does nothing where the folder is already the
# outcome of the same requirement files, arguments, Python and place.
make_venv() {
  local venv=$1 python wanted
  shift
  python=$(find_python)
  wanted=$(
    {
      "$python" -VV
      echo "$PWD $*"
      cat requirements*.txt constraints*.txt pyproject.toml
    } | cksum
  )
  local stamp="$venv/.psm_jax"
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    return
  fi
  if [[ -e $venv && ! -f $stamp ]]; then
    echo "$venv exists and is not of our making. Remove it or name another." >&2
    return 1
  fi
  echo "Installing into $venv (minutes, the first time)."
  rm -rf "$venv"
  mkdir -p "$venv"
  : >"$stamp"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  echo "$wanted" >"$stamp"
}
