#!/bin/sh
# Waits for the servers, deploys the shop, then works for the pool. DEBUT_POOL_KIND: process, docker, kubernetes.
set -eu
here=$(dirname "$0")
kind=${DEBUT_POOL_KIND:-process}
export DEBUT_ZOMBIE_SECONDS="${DEBUT_ZOMBIE_SECONDS:-540}"
sh "$here/wait_for.sh" "$PREFECT_API_URL/health" 180
if [ -n "${DEBUT_MLFLOW_HEALTH:-}" ]; then
  sh "$here/wait_for.sh" "$DEBUT_MLFLOW_HEALTH" 180
fi
set -- --config "$DEBUT_CONFIG" --workspace "$DEBUT_WORKSPACE" --infra "$here" --pool "$kind"
if [ -n "${DEBUT_ROOT:-}" ]; then
  set -- "$@" --root "$DEBUT_ROOT"
fi
debut deploy "$@"
exec prefect worker start --pool "debut-$kind" --type "$kind" --install-policy never --with-healthcheck
