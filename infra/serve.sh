#!/bin/sh
# The service in a container: open to the network, so that searches need a key too.
set -eu
exec debut serve --config "${DEBUT_CONFIG:?}" --workspace "${DEBUT_WORKSPACE:?}" --host 0.0.0.0 --port 8000
