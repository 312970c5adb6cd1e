#!/bin/sh
# Run once by the Postgres image, on an empty volume: one database for each server, and one for MLflow's users.
set -eu
for name in prefect mlflow mlflow_users; do
  createdb --username "$POSTGRES_USER" "$name"
done
