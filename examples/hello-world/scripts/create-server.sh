#!/bin/sh
# Makes the server's own folder; another attempt goes on with the one that is there.
set -eu
directory=$(ctx node attributes directory)
[ -d "$directory" ] || directory=$(mktemp -d "${TMPDIR:-/tmp}/aria-hello-world.XXXXXX")
ctx node attributes directory = "$directory"
mkdir -p "$directory/public"
