#!/bin/sh
# `make up`: Prefect's server and worker, MLflow's server and the service of one shop on this machine, until Ctrl-C.
#   DEBUT_CONFIG       debut.yaml, or the name of an example (needed)
#   DEBUT_ROOT         folder of the data; else what the configuration says
#   DEBUT_WORKSPACE    else what the configuration says
#   DEBUT_PORT, DEBUT_PREFECT_PORT, DEBUT_MLFLOW_PORT   8000, 4200, 5000
#   DEBUT_ZOMBIE_SECONDS, PREFECT_FLOWS_HEARTBEAT_FREQUENCY   540, 180 (automations.yaml)
set -eu
cd "$(dirname "$0")/.."
: "${DEBUT_CONFIG:?say which shop: make up DEBUT_CONFIG=debut.yaml}"
PATH="$PWD/.venv/bin:$PATH"

# Absolute, because a run's process starts in a folder of its own; the shop's folder, its workspace, its file.
found=$(python -c '
import os, sys
from pathlib import Path
from urllib.parse import urlsplit
from components.contract.errors import DebutError
from flows.shop import open_shop
config = os.environ["DEBUT_CONFIG"]
try:
    shop = open_shop(config, None, os.environ.get("DEBUT_WORKSPACE"))
except DebutError as error:
    sys.exit(str(error))
uri = urlsplit(str(shop.settings.tracking.uri or ""))
local = uri.hostname in (None, "127.0.0.1", "localhost")
file = Path(config).resolve() if Path(config).is_file() else config
print(shop.workspace, shop.workspace.parent, file, "yes" if local else "", sep="\n")
')
shop=$(echo "$found" | sed -n 1p)
servers=$shop/servers
mkdir -p "$servers/prefect" "$servers/mlflow"
chmod 700 "$servers"
sh infra/secrets.sh "$servers/secrets"
secret() { cat "$servers/secrets/$1"; }

export PATH DEBUT_UP="$servers"
DEBUT_WORKSPACE=$(echo "$found" | sed -n 2p)
DEBUT_CONFIG=$(echo "$found" | sed -n 3p)
local_mlflow=$(echo "$found" | sed -n 4p)
export DEBUT_WORKSPACE DEBUT_CONFIG
if [ -n "${DEBUT_ROOT:-}" ]; then
  DEBUT_ROOT=$(cd "$DEBUT_ROOT" && pwd)
  export DEBUT_ROOT
fi
export DEBUT_HOST=127.0.0.1
export DEBUT_PORT="${DEBUT_PORT:-8000}"
export DEBUT_PREFECT_PORT="${DEBUT_PREFECT_PORT:-4200}"
export DEBUT_MLFLOW_PORT="${DEBUT_MLFLOW_PORT:-5000}"
export DEBUT_ZOMBIE_SECONDS="${DEBUT_ZOMBIE_SECONDS:-540}"

export PREFECT_HOME="$servers/prefect"
export PREFECT_API_URL="http://$DEBUT_HOST:$DEBUT_PREFECT_PORT/api"
export PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=true
# On disk, so that runs keep their place in a concurrency limit when the server is started again; else it ends them.
export PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
export PREFECT_WORKER_QUERY_SECONDS="${PREFECT_WORKER_QUERY_SECONDS:-5}"
export PREFECT_WORKER_WEBSERVER_HOST="$DEBUT_HOST"
export PREFECT_WORKER_WEBSERVER_PORT="${DEBUT_WORKER_PORT:-8080}"

# MLflow's server shows the very store that runs without a server write, `mlflow.db` in the shop's folder. Where
# debut.yaml has `tracking: {uri: "http://127.0.0.1:5000"}`, runs go through the server, by the login below.
MLFLOW_AUTH_ADMIN_PASSWORD=$(secret mlflow_admin_password)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(secret mlflow_flask_key)
MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY=$(secret mlflow_encryption_key)
DEBUT_MLFLOW_WEBHOOK_SECRET=$(secret mlflow_webhook_secret)
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY
export DEBUT_MLFLOW_WEBHOOK_SECRET
# The login of the server that this script starts; not where debut.yaml names another and its login is set.
if [ -z "${MLFLOW_TRACKING_USERNAME:-}${MLFLOW_TRACKING_PASSWORD:-}" ] && [ -n "$local_mlflow" ]; then
  export MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD="$MLFLOW_AUTH_ADMIN_PASSWORD"
fi
export MLFLOW_HOST="$DEBUT_HOST" MLFLOW_PORT="$DEBUT_MLFLOW_PORT" MLFLOW_STATE="$servers/mlflow"
export MLFLOW_BACKEND_STORE_URI="sqlite:///$shop/mlflow.db" MLFLOW_ARTIFACTS_DESTINATION="$shop/mlartifacts"
export MLFLOW_SERVER_ALLOWED_HOSTS="127.0.0.1:$DEBUT_MLFLOW_PORT,localhost:$DEBUT_MLFLOW_PORT"
export DEBUT_MLFLOW_HEALTH="http://$DEBUT_HOST:$DEBUT_MLFLOW_PORT/health"
# The service listens on loopback without TLS, which MLflow refuses by default, for good reason: with these two its
# administrator could send requests into this machine.
export MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true
export DEBUT_MLFLOW_WEBHOOK_URL="http://$DEBUT_HOST:$DEBUT_PORT/hooks/mlflow"

if grep -qs up.sh "/proc/$(cat "$servers/up.pid" 2>/dev/null || echo none)/cmdline"; then
  echo "up.sh: this shop is up already (process $(cat "$servers/up.pid"))." >&2
  exit 1
fi
echo $$ >"$servers/up.pid"
env -u DEBUT_UP sh infra/down.sh "$servers" # what a killed `make up` of this shop left
echo "service  http://$DEBUT_HOST:$DEBUT_PORT"
echo "Prefect  http://$DEBUT_HOST:$DEBUT_PREFECT_PORT"
echo "MLflow   http://$DEBUT_HOST:$DEBUT_MLFLOW_PORT   user admin, password in $servers/secrets/mlflow_admin_password"

# Apart from the terminal's process group, so that Ctrl-C reaches this script alone: runs are stopped first, while
# Prefect's server is there to be told that they crashed.
$(command -v setsid || true) honcho start -f infra/Procfile -e /dev/null &
honcho=$!
down() { env -u DEBUT_UP sh infra/down.sh "$servers" "${1:-}"; }
trap 'trap "" INT TERM HUP; down prefect.engine || true; kill -TERM $honcho 2>/dev/null' INT TERM HUP
code=0
wait $honcho || code=$?
# A signal ends `wait` early. honcho then ends its processes, and kills those that are there 5 s later.
ends=$(($(date +%s) + 8))
while kill -0 $honcho 2>/dev/null && [ "$(date +%s)" -lt "$ends" ]; do
  sleep 0.2
done
# Runs are in process groups of their own, where honcho does not reach them; and honcho itself, if it hangs.
down ""
rm -f "$servers/up.pid"
exit "$code"
