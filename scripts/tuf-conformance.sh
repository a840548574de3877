#!/bin/bash
# Runs tuf-conformance (github.com/theupdateframework/tuf-conformance) against `portcullis tuf`; see docs/tuf-conformance.md.
# Needs python3 with venv, faketime, and git or a checkout of the suite in TUF_CONFORMANCE. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly REPOSITORY=https://github.com/theupdateframework/tuf-conformance
readonly COMMIT=eec841c186f81f2d9d8d30460c7e7deefa615f9e
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/portcullis-tuf-conformance"

command -v faketime > /dev/null || {
  echo 'tuf-conformance: faketime is missing (apt-get install faketime)' >&2
  exit 3
}

suite="${TUF_CONFORMANCE:-$CACHE/$COMMIT}"
if [[ ! -d "$suite/tuf_conformance" ]]; then
  git init --quiet "$suite"
  git -C "$suite" fetch --quiet --depth 1 "$REPOSITORY" "$COMMIT"
  git -C "$suite" checkout --quiet FETCH_HEAD
fi

python="$CACHE/python"
if [[ ! -x "$python/bin/pytest" ]]; then
  python3 -m venv "$python"
  "$python/bin/pip" install --quiet --editable "$suite"
fi

exec "$python/bin/pytest" "$suite/tuf_conformance" --entrypoint "$PWD/bin/portcullis tuf" "$@"
