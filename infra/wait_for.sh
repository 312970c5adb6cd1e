#!/bin/sh
# wait_for.sh ADDRESS SECONDS: waits until a GET of ADDRESS is answered with 2xx; health checks use it too.
set -eu
ends=$(($(date +%s) + $2))
until "${PYTHON:-python}" -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=3)' "$1" 2>/dev/null; do
  if [ "$(date +%s)" -ge "$ends" ]; then
    echo "wait_for.sh: $1 did not answer within $2 seconds." >&2
    exit 1
  fi
  sleep 0.5
done
