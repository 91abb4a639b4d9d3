#!/bin/sh
# /usr/bin/ecommerce: the program with the profile and the configuration of the package. Root, who can read the secrets,
# runs commands with the settings of the units: audit, hold, release, attention …
set -eu
: "${ECOMMERCE_PROFILE:=production}" "${ECOMMERCE_CONFIG_DIR:=/etc/ecommerce/config}"
export ECOMMERCE_PROFILE ECOMMERCE_CONFIG_DIR
secrets=/etc/ecommerce/secrets
if [ -r "$secrets/operator-token" ]; then
  if [ -z "${ECOMMERCE__DATABASE__URL:-}" ]; then
    set -a
    . /etc/ecommerce/ecommerce.env
    set +a
  fi
  [ -n "${ECOMMERCE_API_TOKEN:-}${ECOMMERCE_API_TOKEN_FILE:-}" ] || export ECOMMERCE_API_TOKEN_FILE="$secrets/operator-token"
  for service in orchestrator catalog payments inventory purchases; do
    file="$secrets/$service-database-password"
    # The names of variables may be in small letters, as in the units.
    [ ! -r "$file" ] || export "ECOMMERCE__SERVICES__${service}__DATABASE_PASSWORD_FILE=$file"
  done
fi
exec /usr/lib/ecommerce/ecommerce "$@"
