#!/bin/sh
# Builds the image of `Containerfile`, with the labels of a release. All files of it have the time of the commit.
#   build.sh TAG [ARCH]     ARCH: amd64, arm64; that of this machine without it
# BUILDER and BASE name other images to start from: those of a release by their digests, or those of `debian-bases.sh`. Needs buildah (`BUILDAH`).
set -eu

# The words above.
usage() {
    sed -n '1d;/^#/!q;s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
case ${1:-} in '' | -*) usage ;; esac
[ $# -le 2 ] || usage

tag=$1
here=$(cd "$(dirname "$0")" && pwd)
sources=$(cd "$here/../.." && pwd)
case $(uname -m) in x86_64) own=amd64 ;; aarch64) own=arm64 ;; *) own=$(uname -m) ;; esac
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$sources" log -1 --format=%ct)}

# Debian 12's buildah (1.28) does not know by itself what it runs on, and would take the builder of the other platform.
"${BUILDAH:-buildah}" build --platform "linux/${2:-$own}" --build-arg BUILDPLATFORM="linux/$own" --timestamp "$epoch" \
    ${BUILDER:+--build-arg BUILDER="$BUILDER"} ${BASE:+--build-arg BASE="$BASE"} \
    --build-arg SOURCE_DATE_EPOCH="$epoch" --build-arg CREATED="$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" \
    --build-arg REVISION="${REVISION:-$(git -C "$sources" rev-parse HEAD)}" \
    --file "$here/Containerfile" --tag "$tag" "$sources"
