#!/usr/bin/env bash
# One turn of the loop in docs/loop.md: serve and keep, rank, label, train, compare, serve the new version.
#
#   docs/examples/loop.sh STORE/MODEL PICTURES MASKS RECIPE [FLAG OF segtrain train …]
#
# PICTURES is a folder of pictures, MASKS has a PNG of class ids for each, by its name: it stands in for the person who
# labels, and only the LABELS (10) pictures that are ranked first are looked up in it. The next version appears in STORE,
# all else in WORK (loop). SEGSERVE and SEGTRAIN are the commands, where they are not on the path.
set -euo pipefail

store=$(dirname "$1") model=$(basename "$1") pictures=$2 masks=$3 recipe=$4
shift 4
labels=${LABELS:-10} work=${WORK:-loop}
read -ra segserve <<<"${SEGSERVE:-segserve}"
read -ra segtrain <<<"${SEGTRAIN:-segtrain}"
mkdir -p "$work"

say() { printf '\n== %s\n' "$*"; }

wait_for() { # what, command …: until it succeeds, ten minutes at most
  local what=$1
  shift
  for _ in $(seq 1200); do
    "$@" >"$work/last" 2>&1 && return
    kill -0 "$server" 2>/dev/null || { echo "the server has ended, see $work/server.log"; exit 1; }
    sleep 0.5
  done
  echo "waited in vain: $what"
  exit 1
}

say "serve $model, and keep what it answers"
"${segserve[@]}" serve --model-store "$store" --default-model "$model" --port "${PORT:-0}" --shutdown-delay-seconds 0 \
  --capture-folder "$work/kept" --capture-policies every=1 --capture-pause-seconds 0 >"$work/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
wait_for "the server" grep -q 'ready at' "$work/server.log"
url=$(grep -o 'http://[^ ]*' "$work/server.log" | head -1)

sent=0
for picture in "$pictures"/*; do
  curl -sSf -D "$work/headers" -F "image=@$picture" "$url/segment" -o /dev/null
  sent=$((sent + 1))
done
first=$(sed -n 's/^[Xx]-[Mm]odel: \([^[:space:]]*\).*/\1/p' "$work/headers")
all_kept() { [ "$(find "$work/kept/$model/captured/notes" -name '*.json' | wc -l)" -ge "$sent" ]; }
wait_for "the last picture to be written" all_kept
echo "$sent pictures answered by $first and kept"

say "rank them"
"${segserve[@]}" rank "$work/kept/$model/captured/images" -m "$first" --model-store "$store" -o "$work/ranking.csv" -n "$labels"

say "label the first $labels"
tail -n +2 "$work/ranking.csv" | head -n "$labels" | cut -d, -f2 | while read -r image; do
  id=${image%.*}
  name=$(sed -n 's/.*"file_name": "\([^"]*\)".*/\1/p' "$work/kept/$model/captured/notes/$id.json")
  curl -sSf -F "id=$id" -F "mask=@$masks/${name%.*}.png" "$url/feedback"
  echo
done

say "train on them"
"${segtrain[@]}" train "$recipe" --data "$work/kept/$model/labeled" --name "$model" --run "$work/run" "$@"

say "export the next version; the server loads it by itself"
"${segtrain[@]}" export "$work/run" --store "$store"
second=$model/$(find "$store/$model" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f\n' | sort -n | tail -1)

say "compare $first and $second"
"${segserve[@]}" compare "$first" "$second" "$pictures" --model-store "$store" -o "$work/comparison.html"

say "serve $second"
answers_new() { curl -sf -D - -F "image=@$picture" "$url/segment?model=$model" -o /dev/null | grep -qi "^x-model: $second"; }
wait_for "$second to serve" answers_new
echo "$url is answered by $second"
