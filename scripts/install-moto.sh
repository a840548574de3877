#!/bin/bash
# Installs moto's server, an emulator of AWS, for test/e2e/kms.test.ts: scripts/install-moto.sh DIRECTORY
# Prints the program's path, for PORTCULLIS_E2E_MOTO. One folder a version under DIRECTORY; the second run does nothing.
# Needs python3 with venv, and PyPI.
set -euo pipefail

readonly MOTO_VERSION=5.2.5
directory="${1:?usage: install-moto.sh DIRECTORY}/moto-$MOTO_VERSION"

if [[ ! -x "$directory/bin/moto_server" ]]; then
  rm -rf "$directory"
  # Its scripts name the folder that they were installed in, so it cannot be built elsewhere and moved.
  python3 -m venv "$directory"
  if ! nice -n 10 "$directory/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$MOTO_VERSION" >&2; then
    rm -rf "$directory"
    exit 1
  fi
fi
echo "$directory/bin/moto_server"
