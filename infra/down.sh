#!/bin/sh
# down.sh FOLDER [WORD]: ends the processes that `make up` with this folder of servers started, whatever became of
# their parent; with WORD those with it in their command line. They are known by DEBUT_UP=FOLDER in their environment
# (Linux; elsewhere nothing is found).
set -eu
word=${2:-}

alive() {
  grep -lszxF "DEBUT_UP=$1" /proc/[0-9]*/environ | cut -d/ -f3 | while read -r id; do
    # A dead process that waits to be collected is none.
    if grep -aqsF -e "$word" "/proc/$id/cmdline" && ! grep -qs '^State:.Z' "/proc/$id/status"; then
      echo "$id"
    fi
  done
}

unset DEBUT_UP || true # this script's own processes are not meant
for signal in TERM KILL; do
  ends=$(($(date +%s) + 4))
  found=$(alive "$1")
  # shellcheck disable=SC2086
  [ -z "$found" ] || kill -s "$signal" $found 2>/dev/null || true
  while [ -n "$found" ] && [ "$(date +%s)" -lt "$ends" ]; do
    sleep 0.2
    found=$(alive "$1")
  done
done
if [ -n "$found" ]; then
  echo "down.sh: still there: $found" >&2
  exit 1
fi
