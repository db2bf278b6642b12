#!/usr/bin/env bash
# Lets the tests that need a real browser run on a bare build machine: installs Debian's Chromium where there is none, the
# user is root and apt-get is there. Never fails: without a browser those tests say that they were skipped. For CI only.
set -uo pipefail

LIMIT_S=300

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
  if [ -n "$name" ] && timeout 60 "$name" --version >/dev/null 2>&1; then
    exit 0
  fi
done

install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o Acquire::Retries=0 -o DPkg::Lock::Timeout=60 update &&
    apt-get -qq -y -o Acquire::Retries=0 -o DPkg::Lock::Timeout=60 install --no-install-recommends chromium
}
export -f install

# Elsewhere `chromium` is no package, or only one that says where to get a browser.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -qs '^ID=debian' /etc/os-release; then
  echo "Installing Chromium for the tests of the data quality report, for ${LIMIT_S} s at most"
  if log=$(timeout --kill-after=10 "$LIMIT_S" bash -c install 2>&1); then
    exit 0
  fi
  printf '%s\n' "$log" | tail -n 5
fi
echo 'There is no Chromium: the tests of the data quality report in a browser will be skipped'
exit 0
