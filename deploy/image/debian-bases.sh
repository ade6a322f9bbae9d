#!/bin/sh
# Makes stand-ins for the two images that `Containerfile` starts from, of Debian's packages and of Rust's: for a place that reaches those and no
# registry of images.
#   debian-bases.sh FOLDER [ARCH]...     ARCH: amd64, arm64; for each a base, besides the builder, which is for this machine
# Needs root, debootstrap, curl and buildah. Makes the images localhost/sluicebox-builder and localhost/sluicebox-base:ARCH; what is in FOLDER already is
# taken as it is.
set -eu

# The words above.
usage() {
    sed -n '1d;/^#/!q;s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
case ${1:-} in '' | -*) usage ;; esac

folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
suite=bookworm
mirror=${MIRROR:-http://deb.debian.org/debian}
rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
builder=$folder/builder
mkdir -p "$folder"

# As buildpack-deps: what compiles C, with the headers that a build could find and take by mistake.
if [ ! -e "$builder/var/lib/dpkg/status" ]; then
    debootstrap --variant=minbase --include="$(tr '\n' ',' <<'PACKAGES' | sed 's/,$//'
autoconf
automake
bzip2
ca-certificates
curl
dpkg-dev
file
g++
gcc
git
gnupg
libc6-dev
libcurl4-openssl-dev
libglib2.0-dev
libssl-dev
libtool
make
netbase
patch
procps
tzdata
unzip
wget
xz-utils
zlib1g-dev
PACKAGES
)" "$suite" "$builder" "$mirror"
fi

# As the image `rust`: rustup, and the smallest set of one version. Whom this machine trusts may include a proxy.
in_builder() {
    unshare --mount --pid --fork --mount-proc="$builder/proc" chroot "$builder" env -i HOME=/root PATH=/usr/local/cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo "$@"
}
cp /etc/ssl/certs/ca-certificates.crt "$builder/etc/ssl/certs/ca-certificates.crt"
if [ ! -x "$builder/usr/local/cargo/bin/rustc" ]; then
    platform=$(uname -m)-unknown-linux-gnu
    curl -sSf -o "$builder/tmp/rustup-init" "https://static.rust-lang.org/rustup/dist/$platform/rustup-init"
    chmod 755 "$builder/tmp/rustup-init"
    in_builder /tmp/rustup-init -y --quiet --no-modify-path --profile minimal --default-toolchain "$rust" --default-host "$platform"
    rm "$builder/tmp/rustup-init"
fi

image() { # TAG ROOT ARCH SETTINGS...
    tag=$1 root=$2 arch=$3
    shift 3
    container=$(buildah from --arch "$arch" scratch)
    buildah copy --quiet "$container" "$root/" / > "$folder/log"
    buildah config --arch "$arch" "$@" "$container"
    buildah commit --quiet --rm "$container" "$tag" > "$folder/log"
    echo "$tag"
}
image localhost/sluicebox-builder "$builder" "$(dpkg --print-architecture)" --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo

# As distroless: packages unpacked, none installed, so that there is no shell; the authorities in one file; a user that is not root.
for arch in "${@:-amd64}"; do
    base=$folder/base-$arch
    if [ ! -e "$base/etc/passwd" ]; then
        archives=$builder/var/cache/base-$arch
        mkdir -p "$archives" "$base"
        in_builder dpkg --add-architecture "$arch"
        in_builder apt-get -qq update
        # shellcheck disable=SC2016
        in_builder sh -c 'cd "$1" && apt-get -qq -o APT::Sandbox::User=root download base-files:$2 gcc-12-base:$2 libc6:$2 libgcc-s1:$2 libgomp1:$2 libssl3:$2 libstdc++6:$2 netbase tzdata ca-certificates' \
            - "/var/cache/base-$arch" "$arch"
        for package in "$archives"/*.deb; do dpkg-deb -x "$package" "$base"; done
        cat "$base"/usr/share/ca-certificates/mozilla/*.crt > "$base/etc/ssl/certs/ca-certificates.crt"
        mkdir -p "$base/home/nonroot"
        chown 65532:65532 "$base/home/nonroot"
        printf 'root:x:0:\nnonroot:x:65532:\n' > "$base/etc/group"
        printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > "$base/etc/passwd"
    fi
    image "localhost/sluicebox-base:$arch" "$base" "$arch" --user 65532 --workingdir /home/nonroot --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
done
