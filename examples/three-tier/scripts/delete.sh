#!/bin/sh
# Removes what a server kept.
. "$(ctx download-resource scripts/common.sh)"
directory=$(ctx node attributes directory)
if [ -n "$directory" ]; then rm -rf "$directory"; fi
ctx node attributes directory = @null
step "$(ctx node name): deleted"
