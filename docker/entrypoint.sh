#!/bin/sh
# Starts hitters in its container. A variable NAME_FILE names a file whose content becomes NAME, so that passwords reach the
# command without standing in the description of the container.
set -eu

for variable in $(env | sed -n 's/^\([A-Z][A-Z0-9_]*\)_FILE=.*/\1/p'); do
    file=$(printenv "${variable}_FILE")
    if ! [ -r "$file" ]; then
        echo "entrypoint: ${variable}_FILE names $file, which cannot be read: run docker/init.sh" >&2
        exit 1
    fi
    export "$variable=$(cat "$file")"
done

exec hitters "$@"
