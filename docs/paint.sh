#!/usr/bin/env bash
# Paints the pictures that README and docs/ show, from the sample pictures, with the shipped model.
# Needs ortist and its python on the PATH; some five minutes on two idle cores.
set -eu
cd "$(dirname "$0")"
empty=$(mktemp -d)  # a model home without the ImageNet model: its pictures are not ours to publish
trap 'rm -r "$empty"' EXIT
export ORTIST_HOME="$empty"
mkdir -p pictures "$empty/parts"

paint() {  # NAME OPTIONS...: the harbour, for a sheet of what the options of the recipe do
    local name=$1
    shift
    ortist transfer samples/harbour.jpg "$@" --size 256 --quality paper -o "$empty/parts/$name.png"
}
part() { echo "$1=$empty/parts/$2.png"; }  # CAPTION NAME

for style in swirls shards pencil; do
    ortist transfer samples/harbour.jpg "samples/$style.jpg" --size 360 \
        -o "pictures/harbour-$style.jpg"
done
ortist transfer samples/harbour.jpg samples/swirls.jpg samples/pencil.jpg --size 360 \
    --mask samples/harbour-sky.png - --mask samples/harbour-land.png - -o pictures/harbour-masks.jpg
ortist transfer samples/harbour.jpg samples/shards.jpg --size 256 --sheet "$empty/parts/sheet.png"
python -c 'import sys; from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2], quality=85)' \
    "$empty/parts/sheet.png" pictures/sheet.jpg

paint swirls samples/swirls.jpg
paint shards samples/shards.jpg
paint blend-2-1 samples/swirls.jpg samples/shards.jpg --style-weights 2,1
paint blend-1-2 samples/swirls.jpg samples/shards.jpg --style-weights 1,2
paint meanstd samples/swirls.jpg --style-loss meanstd
paint w2 samples/swirls.jpg --style-loss w2
paint half samples/swirls.jpg --style-scale 0.5
paint normalized samples/swirls.jpg --normalize-gradients
for colors in content-luminance content-histogram style-matched; do
    paint "$colors" samples/shards.jpg --colors "$colors"
done
python arrange.py pictures/options.jpg 200 4 \
    "$(part 'swirls' swirls)" "$(part '--style-weights 2,1' blend-2-1)" \
    "$(part '--style-weights 1,2' blend-1-2)" "$(part 'shards' shards)" \
    "$(part '--style-loss meanstd' meanstd)" "$(part '--style-loss w2' w2)" \
    "$(part '--style-scale 0.5' half)" "$(part '--normalize-gradients' normalized)" \
    "$(part '--colors style' shards)" "$(part '--colors content-luminance' content-luminance)" \
    "$(part '--colors content-histogram' content-histogram)" \
    "$(part '--colors style-matched' style-matched)"

built_in=()
for style in $(ortist style list | cut -d " " -f 1); do
    ortist transfer samples/harbour.jpg "$style" --size 256 -o "$empty/parts/in-$style.png"
    built_in+=("$(part "$style" "in-$style")")
done
python arrange.py pictures/styles.jpg 180 4 "${built_in[@]}"

texture() {  # NAME OPTIONS...
    local name=$1
    shift
    ortist texture samples/shards.jpg --size 256 "$@" -o "$empty/parts/$name.png"
}
texture texture --optimizer lbfgs --iterations 200
texture seamless --optimizer lbfgs --iterations 200 --seamless
ortist invert samples/harbour.jpg --size 256 --content-layers 3 -o "$empty/parts/invert-3.png"
ortist invert samples/harbour.jpg --size 256 --content-layers 7 -o "$empty/parts/invert-7.png"
python arrange.py pictures/textures.jpg 240 4 \
    "$(part 'ortist texture, laid 2 x 2' texture)" \
    "$(part 'ortist texture --seamless, laid 2 x 2' seamless)" \
    "$(part 'ortist invert --content-layers 3' invert-3)" \
    "$(part 'ortist invert --content-layers 7' invert-7)"

cd ..
python -m tests.benchmarks.recipes --sheet docs/pictures/recipes.jpg --seconds 6 --cell 150
