#!/bin/sh
# Runs the posted script in the guest. Answer: a line "<status> <bytes of stdout> <bytes of stderr>", then both.
export PATH=/bin HOME=/
folder=$(mktemp -d /tmp/exec.XXXXXX)
head -c "$CONTENT_LENGTH" >"$folder/script"
# In a process group of its own, with files for its output: what it leaves running does not hold this answer back.
setsid sh "$folder/script" </dev/null >"$folder/out" 2>"$folder/err"
status=$?
# A copy: something left running may still write, and the sizes must hold.
cp "$folder/out" "$folder/out.now"
cp "$folder/err" "$folder/err.now"
printf 'Content-Type: application/octet-stream\r\n\r\n'
printf '%s %s %s\n' "$status" "$(stat -c %s "$folder/out.now")" "$(stat -c %s "$folder/err.now")"
cat "$folder/out.now" "$folder/err.now"
rm -rf "$folder"
