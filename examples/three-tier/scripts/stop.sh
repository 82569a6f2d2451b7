#!/bin/sh
# Ends a server and waits until it is gone.
. "$(ctx download-resource scripts/common.sh)"
directory=$(ctx node attributes directory)
pid=$(ctx node attributes pid)
if [ -n "$pid" ]; then
    if runs; then kill "$pid"; fi
    while runs; do sleep 0.1; done
fi
ctx node attributes pid = @null
ctx node attributes address = @null
step "$(ctx node name): stopped"
