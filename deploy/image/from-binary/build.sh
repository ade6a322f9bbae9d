#!/bin/sh
# Makes an image of a program that is built already, without any base image and without any network.
#   build.sh BINARY [TAG]      STRIP=yes leaves out what only debuggers need; SBOM=FILE, the list of `cargo xtask sbom`, goes with it
# For a program of another architecture: ARCH=arm64 SYSROOT=FOLDER, where its libraries are, such as /usr/aarch64-linux-gnu of Debian's
# libc6-arm64-cross; VERSION, where such a program cannot be asked for it. That takes readelf.
# Needs buildah (`BUILDAH`, and `SIGNATURE_POLICY` where it is not installed).
set -eu

# The words above.
usage() {
    sed -n '1d;/^#/!q;s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
case ${1:-} in '' | -*) usage ;; esac
[ $# -le 2 ] || usage

binary=$1
tag=${2:-localhost/sluicebox:dev}
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
root=$context/root

install -D -m 0755 "$binary" "$root/usr/bin/sluicebox"
if [ "${STRIP:-no}" = yes ]; then strip "$root/usr/bin/sluicebox"; fi

# The libraries, each where the loader looks for it. A program that is linked statically has none.
needed() { # FILE: the loader and the libraries that it names, by their paths below SYSROOT, and what those name
    readelf -l "$1" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p'
    # Libraries name the loader, too, but by no path.
    for name in $(readelf -d "$1" | sed -n '/\[ld-linux/!s/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        found=$(find "$SYSROOT/lib/" "$SYSROOT/usr/lib/" -name "$name" 2>/dev/null | sed -n 1p)
        if [ -z "$found" ]; then
            echo "$name is not in $SYSROOT" >&2
            return 1
        fi
        echo "${found#"$SYSROOT"}" | sed 's|//*|/|g'
        needed "$found"
    done
}
SYSROOT=${SYSROOT:-}
SYSROOT=${SYSROOT%/}
if [ -n "$SYSROOT" ]; then
    libraries=$(needed "$binary")
else
    libraries=$(ldd "$binary" 2>/dev/null | grep -o '/[^ ]*' || true)
fi
for library in $(printf '%s\n' "$libraries" | sort -u); do
    install -D -m 0755 "$(readlink -f "$SYSROOT$library")" "$root$library"
done
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
# Names for the number that it runs as, and where a pod mounts what it needs.
mkdir -p "$root/etc/sluicebox" "$root/var/lib/sluicebox" "$root/var/cache/sluicebox" "$root/tmp" "$root/usr/share/doc/sluicebox"
echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin' > "$root/etc/passwd"
echo 'nonroot:x:65532:' > "$root/etc/group"
# Under which licences, and of what, it is made.
install -m 0644 -t "$root/usr/share/doc/sluicebox" "$here/../../LICENCES.md" "$here/../../../LICENSE"
if [ -n "${SBOM:-}" ]; then install -m 0644 "$SBOM" "$root/usr/share/doc/sluicebox/sluicebox.cdx.json"; fi

# The same files make the same layer: all of them have the time of the commit.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}
find "$root" -exec touch -h -d "@$epoch" {} +
"${BUILDAH:-buildah}" bud --quiet ${STORAGE_DRIVER:+--storage-driver "$STORAGE_DRIVER"} ${SIGNATURE_POLICY:+--signature-policy "$SIGNATURE_POLICY"} --isolation chroot --layers=false --timestamp "$epoch" \
    ${ARCH:+--arch "$ARCH"} \
    --build-arg VERSION="${VERSION:-$("$binary" --version | cut -d' ' -f2)}" \
    --build-arg REVISION="$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)" \
    --file "$here/Containerfile" --tag "$tag" "$context"
