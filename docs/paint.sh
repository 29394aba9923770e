#!/usr/bin/env bash
# Paints the pictures that README shows, from the sample pictures, with the shipped model.
set -eu
cd "$(dirname "$0")"
empty=$(mktemp -d)  # a model home without the ImageNet model: its pictures are not ours to publish
trap 'rm -r "$empty"' EXIT
export ORTIST_HOME="$empty"
mkdir -p pictures
for style in swirls shards pencil; do
    ortist transfer samples/harbour.jpg "samples/$style.jpg" --size 360 -o "pictures/harbour-$style.jpg"
done
ortist transfer samples/harbour.jpg samples/swirls.jpg samples/pencil.jpg --size 360 \
    --mask samples/harbour-sky.png - --mask samples/harbour-land.png - -o pictures/harbour-masks.jpg
ortist transfer samples/harbour.jpg samples/shards.jpg --size 256 --sheet pictures/sheet.jpg
