#!/usr/bin/env bash
# Brings what the firmware is built with, and is not ours, into the folder that is named: from PyPI (Monocypher) and
# from Debian's source packages (SHA-2 of mbedtls, lwIP). Nothing of it is committed.
# Where a machine has no registries: put the three archives into $EDGEOPS_DEPS_ARCHIVES first.
set -euo pipefail

deps=$1
pip=("$2" -m pip --disable-pip-version-check --quiet)
archives=${EDGEOPS_DEPS_ARCHIVES:-$deps/archives}

pymonocypher=4.0.3.4
lwip=2.1.3+dfsg1
mbedtls=2.28

mkdir -p "$archives"
archives=$(realpath "$archives")

have() { compgen -G "$archives/$1" >/dev/null; }

have "pymonocypher-$pymonocypher.tar.gz" ||
    "${pip[@]}" download --no-deps --no-binary :all: --dest "$archives" "pymonocypher==$pymonocypher"

# Source packages: the machine's own package lists, read as lists of sources, in a folder of our own.
if ! have "lwip_$lwip.orig.tar.*" || ! have "mbedtls_$mbedtls*.orig.tar.*"; then
    command -v apt-get >/dev/null || {
        echo "Error: apt-get was not found, which brings lwIP and mbedtls. Fix: put lwip_$lwip.orig.tar.xz and" \
            "mbedtls_$mbedtls.*.orig.tar.gz of Debian 12 into $archives" >&2
        exit 2
    }
    apt=$(mktemp -d)
    trap 'rm -rf "$apt"' EXIT
    mkdir -p "$apt/sources" "$apt/lists/partial"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/sources/$(basename "$file")"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -e "$file" ] && grep -E '^deb .*debian' "$file" | sed 's/^deb /deb-src /' >"$apt/sources/$(basename "$file" .list).list" || true
    done
    options=(-q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources" -o "Dir::State::lists=$apt/lists")
    # A list that has no sources must not end it: what counts is whether the two packages came.
    apt-get "${options[@]}" update >/dev/null || true
    (cd "$archives" && apt-get "${options[@]}" source --download-only lwip mbedtls >/dev/null)
fi

one() { compgen -G "$archives/$1" | sort | tail -n 1; }

rm -rf "$deps/monocypher" "$deps/mbedtls" "$deps/lwip"
mkdir -p "$deps/monocypher" "$deps/mbedtls" "$deps/lwip"
tar -xf "$(one "pymonocypher-$pymonocypher.tar.gz")" -C "$deps/monocypher" --strip-components=1 --wildcards '*/monocypher.[ch]'
tar -xf "$(one "mbedtls_$mbedtls*.orig.tar.*")" -C "$deps/mbedtls" --strip-components=1 --wildcards '*/library/*.[ch]' '*/include/*'
tar -xf "$(one "lwip_$lwip.orig.tar.*")" -C "$deps/lwip" --strip-components=1 --wildcards '*/src/*'
touch "$deps/.complete"
