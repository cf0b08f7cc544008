#!/bin/sh
# curl as the documents of Triton and TensorFlow Serving write it.
set -eu
host=$1 folder=$2
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# Triton's raw-binary request: the bare file
curl --silent --fail --dump-header "$work/headers" --output "$work/answer" \
  --data-binary @"$folder/image.png" -H 'Inference-Header-Content-Length: 0' \
  "http://$host/v2/models/street/infer"
length=$(tr -d '\r' < "$work/headers" | awk -F': ' 'tolower($1) == "inference-header-content-length" {print $2}')
tail -c +$((length + 1)) "$work/answer" | cmp - "$folder/class_map.raw"

# JSON, with the mask as a PNG in base64
base64 < "$folder/image.png" | tr -d '\n' > "$work/text"
printf '{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["%s"]}],"outputs":[{"name":"png"}]}' \
  "$(cat "$work/text")" > "$work/request"
curl --silent --fail --data @"$work/request" "http://$host/v2/models/street/infer" \
  | sed 's/.*"data":\["\([^"]*\)"\].*/\1/' | base64 -d | cmp - "$folder/class_map.png"

# TensorFlow Serving's
printf '{"instances":[{"b64":"%s"}]}' "$(cat "$work/text")" > "$work/request"
curl --silent --fail -d @"$work/request" "http://$host/v1/models/street:predict" | grep -q '"predictions":\[\[\['
curl --silent --fail "http://$host/v2/health/ready" | grep -q true
echo "curl: both protocols agree with the native answer"
