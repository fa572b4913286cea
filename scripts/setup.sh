#!/usr/bin/env bash
# Sets up what a target needs, on a bare Debian or Ubuntu with Python 3.11 or newer: quietly, and only
# what is missing.
#   scripts/setup.sh demo|test|bench VENV
set -euo pipefail
target=$1 venv=$2
cd "$(dirname "$0")/.."

say() { printf '\033[2m· %s\033[0m\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "needs root or sudo for: $*"; fi
}

apt_updated=no
apt_install() {
  command -v apt-get >/dev/null || die "please install by hand: $* (no apt-get here)"
  if [ $apt_updated = no ]; then say "apt-get update"; as_root apt-get update -q >/dev/null; apt_updated=yes; fi
  say "apt-get install $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
}

find_python() {
  for name in python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then echo "$name"; return; fi
  done
  die "needs Python 3.11 or newer; apt-get install python3.11"
}

make_venv() {
  [ -x "$venv/bin/python" ] && return
  python=$(find_python)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  fi
  say "virtual environment in $venv ($("$python" --version))"
  "$python" -m venv "$venv"
}

install() { # LOCK: installs it, and us on top, unless exactly that was done before
  lock=$1
  stamp="$venv/.installed-$(basename "$lock" .lock)"
  sum=$(cat "$lock" pyproject.toml | sha256sum | cut -d' ' -f1)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return
  say "Python packages of $lock"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
  echo "$sum" >"$stamp"
}

postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1; }

system_parts() { # what the tests run for real
  missing=()
  { command -v initdb >/dev/null || [ -n "$(postgres_bin)" ]; } || missing+=(postgresql)
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing+=(chromium)
  command -v wrk >/dev/null || missing+=(wrk)
  command -v prometheus >/dev/null || missing+=(prometheus)
  { command -v nginx >/dev/null || [ -x /usr/sbin/nginx ]; } || missing+=(nginx)
  [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] || missing+=(libnginx-mod-http-lua)
  command -v openssl >/dev/null || missing+=(openssl)
  command -v git >/dev/null || missing+=(git)
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v haproxy >/dev/null || missing+=(haproxy)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  # Debian starts what it installs; the tests start their own, on a port of their own.
  for service in prometheus redis-server haproxy nginx; do
    case " ${missing[*]} " in
      *" $service "*) as_root systemctl disable --now $service >/dev/null 2>&1 || true ;;
    esac
  done
}

make_venv
case $target in
  demo) [ -f "$venv/.installed-requirements-dev" ] || install requirements-demo.lock ;;
  test) install requirements-dev.lock; system_parts ;;
  bench) install requirements-bench.lock ;;
  *) die "unknown target $target" ;;
esac
