#!/bin/sh
# Fetch the gallery's pictures and voices out of public packages (Debian's, PyPI's) into a folder.
# usage: sh scripts/gallery_fetch.sh MATERIALS        Install espeak-ng and flite for the voices.
set -eu
mkdir -p "$1"
cd "$1"
python3 -m pip download --quiet --no-deps --no-binary face_recognition,basic-pitch \
    face_recognition==1.3.0 basic-pitch==0.4.0 || echo "PyPI: not all fetched" >&2
for archive in *.tar.gz; do
    tar xzf "$archive" || echo "$archive: not unpacked" >&2
done
for package in gcompris-qt-data wesnoth-1.16-data; do
    mkdir -p "$package"
    if apt-get download "$package"; then
        dpkg-deb -x "$package"_*.deb "$package"
    else
        echo "$package: not fetched" >&2
    fi
done
