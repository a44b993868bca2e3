#!/bin/sh
# What SzCORE starts: /data/$INPUT is a recording, /output/$OUTPUT the events.tsv to write; nothing else is left there.
set -eu
: "${DATA_DIR:=/data}" "${OUTPUT_DIR:=/output}" "${MODEL_DIR:=/model}" "${PYTHON:=python}" "${ENGINE:=onnx}"
for name in INPUT OUTPUT; do
    eval "value=\${$name:-}"
    if [ -z "$value" ]; then
        echo "error: $name is not set; expected a path below $DATA_DIR (INPUT) or $OUTPUT_DIR (OUTPUT). Run with -e $name=..." >&2
        exit 2
    fi
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$PYTHON" -c "from distilclip_eeg.commands.cli import main; main()" detect \
    weights="$MODEL_DIR" input="$DATA_DIR/$INPUT" output="$scratch" engine="$ENGINE" figure=false
mkdir -p "$(dirname "$OUTPUT_DIR/$OUTPUT")"
cp "$scratch"/*_events.tsv "$OUTPUT_DIR/$OUTPUT.part"
mv "$OUTPUT_DIR/$OUTPUT.part" "$OUTPUT_DIR/$OUTPUT"
