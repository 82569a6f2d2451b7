#!/bin/sh
# Removes what the server kept.
set -eu
directory=$(ctx node attributes directory)
if [ -n "$directory" ]; then rm -rf "$directory"; fi
ctx node attributes directory = @null
