#!/bin/sh
# secrets.sh FOLDER: makes what is missing of the secrets of `make up`, one file each, readable by the owner alone.
set -eu
umask 077
mkdir -p "$1"
chmod 700 "$1"
for name in mlflow_admin_password mlflow_flask_key mlflow_webhook_secret mlflow_encryption_key; do
  if [ ! -s "$1/$name" ]; then
    # 32 random bytes in URL-safe base64: also the form of the key that MLflow encrypts webhooks' secrets with.
    head -c 32 /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_' >"$1/$name.new"
    mv "$1/$name.new" "$1/$name"
  fi
done
