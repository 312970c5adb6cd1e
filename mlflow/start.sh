#!/bin/sh
# Starts MLflow's server with logins. Variables: server.env.example. A secret NAME may be given as NAME_FILE, the path
# of a file that holds it. Refuses a missing, short or well-known administrator's password.
set -eu
here=$(dirname "$0")

refuse() {
  echo "mlflow/start.sh: $1" >&2
  exit 1
}

from_file() {
  eval "file=\${$1_FILE:-}"
  if [ -n "$file" ]; then
    [ -r "$file" ] || refuse "$1_FILE names $file, which cannot be read."
    eval "$1=\$(cat \"\$file\"); export $1; unset $1_FILE"
  fi
}

for name in MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY \
  MLFLOW_BACKEND_STORE_URI MLFLOW_AUTH_DATABASE_URI AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; do
  from_file $name
done

password=${MLFLOW_AUTH_ADMIN_PASSWORD:-}
[ -n "$password" ] || refuse "MLFLOW_AUTH_ADMIN_PASSWORD (or …_FILE) is not set."
[ "${#password}" -ge 12 ] || refuse "MLFLOW_AUTH_ADMIN_PASSWORD has fewer than 12 characters."
case $(printf %s "$password" | tr '[:upper:]' '[:lower:]') in
  password* | admin* | mlflow* | change*me* | secret* | 1234*)
    refuse "MLFLOW_AUTH_ADMIN_PASSWORD is a default or an example; choose another."
    ;;
esac
[ -n "${MLFLOW_FLASK_SERVER_SECRET_KEY:-}" ] || refuse "MLFLOW_FLASK_SERVER_SECRET_KEY (or …_FILE) is not set."
[ -n "${MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY:-}" ] ||
  refuse "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY (or …_FILE) is not set."
[ -n "${MLFLOW_BACKEND_STORE_URI:-}" ] || refuse "MLFLOW_BACKEND_STORE_URI is not set."
[ -n "${MLFLOW_ARTIFACTS_DESTINATION:-}" ] || refuse "MLFLOW_ARTIFACTS_DESTINATION is not set."
[ -n "${MLFLOW_SERVER_ALLOWED_HOSTS:-}" ] || refuse "MLFLOW_SERVER_ALLOWED_HOSTS is not set."
# MLflow allows every host where one element is *; *:5000 or ?* would match as much. A port names no host.
nameless=$(printf '%s\n' "$MLFLOW_SERVER_ALLOWED_HOSTS" | tr ',' '\n' |
  sed 's/[[:space:]]//g; /[*]/!d; s/:[0-9*?]*$//; /[[:alnum:]]/d')
[ -z "$nameless" ] || refuse "MLFLOW_SERVER_ALLOWED_HOSTS must name hosts, not *."

state=${MLFLOW_STATE:?}
umask 077
mkdir -p "$state"
users=${MLFLOW_AUTH_DATABASE_URI:-sqlite:///$state/basic_auth.db}
# By a variable of awk's, not by sed: an address may hold any character.
USERS="$users" awk '/^database_uri *=/ { print "database_uri = " escaped; next } { print }
  BEGIN { escaped = ENVIRON["USERS"]; gsub(/%/, "%%", escaped) }' "$here/basic_auth.ini" >"$state/basic_auth.ini"
export MLFLOW_AUTH_CONFIG_PATH="$state/basic_auth.ini"
export MLFLOW_DISABLE_TELEMETRY=true
# Debut needs neither its gateway to language models nor its job runners, seven more processes.
export MLFLOW_ENABLE_AI_GATEWAY=false MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

# Every file goes through the server, so that no reader needs a key of the artifact store.
exec mlflow server --app-name basic-auth --workers "${MLFLOW_WORKERS:-1}" \
  --host "${MLFLOW_HOST:-127.0.0.1}" --port "${MLFLOW_PORT:-5000}" \
  --serve-artifacts --artifacts-destination "$MLFLOW_ARTIFACTS_DESTINATION"
