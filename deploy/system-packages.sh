#!/usr/bin/env bash
# Installs the Debian packages of packages.txt that are missing for a purpose ("demo" or "test"): as root it installs
# them, otherwise it prints the one command that does.
set -euo pipefail
purpose=${1:?usage: system-packages.sh demo|test}
cd "$(dirname "$0")/.."

missing=()
while read -r package command for _; do
    [[ -z ${package:-} || $package == \#* ]] && continue
    [[ $purpose == demo && $for != demo ]] && continue
    if [[ $command == - ]]; then
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    else
        command -v "$command" >/dev/null || missing+=("$package")
    fi
done < packages.txt
# A Debian python3 comes without ensurepip until python3-venv is there.
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

[[ ${#missing[@]} -eq 0 ]] && exit 0
install="apt-get install -y --no-install-recommends ${missing[*]}"
if [[ $(id -u) -ne 0 ]]; then
    echo "System packages are missing. Run this once, then make $purpose again:" >&2
    echo "  sudo apt-get update && sudo $install" >&2
    exit 1
fi
command -v apt-get >/dev/null || { echo "Install these packages with your system's tool: ${missing[*]}" >&2; exit 1; }
echo "== system packages: ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
