#!/bin/sh
# Makes an image of a program that is built already, without any base image and without any network.
#   build.sh BINARY [TAG]      STRIP=yes leaves out what only debuggers need
# Needs buildah (`BUILDAH`, and `SIGNATURE_POLICY` where it is not installed). The image is for the architecture of this machine, which must be that of the program.
set -eu

binary=$1
tag=${2:-localhost/sluicebox:dev}
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
root=$context/root

install -D -m 0755 "$binary" "$root/usr/bin/sluicebox"
if [ "${STRIP:-no}" = yes ]; then strip "$root/usr/bin/sluicebox"; fi
# The libraries, each where the loader looks for it. A program that is linked statically has none.
for library in $(ldd "$binary" 2>/dev/null | grep -o '/[^ ]*' || true); do
    install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
# Names for the number that it runs as, and where a pod mounts what it needs.
mkdir -p "$root/etc/sluicebox" "$root/var/lib/sluicebox" "$root/var/cache/sluicebox" "$root/tmp"
echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin' > "$root/etc/passwd"
echo 'nonroot:x:65532:' > "$root/etc/group"

# The same files make the same layer: all of them have the time of the commit.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}
find "$root" -exec touch -h -d "@$epoch" {} +
"${BUILDAH:-buildah}" bud --quiet ${STORAGE_DRIVER:+--storage-driver "$STORAGE_DRIVER"} ${SIGNATURE_POLICY:+--signature-policy "$SIGNATURE_POLICY"} --isolation chroot --layers=false --timestamp "$epoch" \
    --build-arg VERSION="${VERSION:-$("$binary" --version | cut -d' ' -f2)}" \
    --build-arg REVISION="$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)" \
    --file "$here/Containerfile" --tag "$tag" "$context"
