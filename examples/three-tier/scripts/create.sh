#!/bin/sh
# Makes a server's own folder; another attempt goes on with the one that is there.
. "$(ctx download-resource scripts/common.sh)"
name=$(ctx node name)
directory=$(ctx node attributes directory)
[ -d "$directory" ] || directory=$(mktemp -d "${TMPDIR:-/tmp}/aria-$name.XXXXXX")
ctx node attributes directory = "$directory"
step "$name: created"
