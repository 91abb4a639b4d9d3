#!/usr/bin/env bash
# Writes .env from .env.example with a generated value for each secret, readable by its owner only. An existing file
# keeps its values and gets the variables that it lacks, so this is also for a new version with new variables.
#
#   docker/secrets.sh --initial-stock 100 [FILE]   units of a product that was never restocked
#   docker/secrets.sh --check [FILE]               names every variable that must be set and is not
#
# API_TOKEN stays empty: all clients may buy. FILE is .env by default.
set -euo pipefail
umask 077
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
usage() { sed -n '2,8s/^# \{0,1\}//p' docker/secrets.sh >&2; exit 2; }
check=no stock="" file=.env
while [ $# -gt 0 ]; do
  case "$1" in
    --check) check=yes ;;
    --initial-stock) shift; [[ "${1:-}" =~ ^[0-9]+$ ]] || usage; stock="$1" ;;
    -*) usage ;;
    /*) file="$1" ;;
    *) file="$here/$1" ;;
  esac
  shift
done

# The variables without which the compose file is refused; compose itself names only the first one that is missing.
required="$(grep -oE '\$\{[A-Z_]+:\?' docker-compose.prod.yml | tr -cd 'A-Z_\n' | sort -u)"
value_of() { sed -n "s/^$1=//p" "$file" 2>/dev/null | tail -n 1; }
missing() {
  local name
  for name in $required; do [ -n "$(value_of "$name")" ] || echo "$name"; done
}
secret() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
set_value() {
  if grep -q "^$1=" "$file"; then
    local other
    other="$(mktemp "$file.XXXXXX")"
    awk -v name="$1" -v value="$2" 'index($0, name "=") == 1 { print name "=" value; next } { print }' "$file" >"$other"
    mv "$other" "$file"
  else
    echo "$1=$2" >>"$file"
  fi
}

if [ $check = no ]; then
  [ -e "$file" ] || { cp .env.example "$file" && echo "secrets: $file is new, from .env.example"; }
  chmod 600 "$file"
  added=""
  while IFS='=' read -r name value; do
    case "$name" in
      '' | '#'*) continue ;;
      API_TOKEN) ;;
      *_PASSWORD | *_TOKEN) [ -n "$(value_of "$name")" ] || { set_value "$name" "$(secret)"; added+=" $name"; continue; } ;;
      INITIAL_STOCK) [ -z "$stock" ] || { set_value "$name" "$stock"; continue; } ;;
    esac
    grep -q "^$name=" "$file" || { set_value "$name" "$value"; added+=" $name"; }
  done <.env.example
  [ -z "$added" ] || echo "secrets: set in $file:$added"
fi
left="$(missing)"
[ -z "$left" ] || { echo "secrets: $file lacks: $(tr '\n' ' ' <<<"$left")" >&2; exit 1; }
echo "secrets: $file has every variable that must be set"
