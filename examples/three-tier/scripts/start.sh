#!/bin/sh
# Starts a server and leaves it running; it writes its address into a file once it listens.
. "$(ctx download-resource scripts/common.sh)"
directory=$(ctx node attributes directory)
ctx download-resource "servers/$program" "$directory/server.py" >/dev/null
rm -f "$directory/address"
nohup python3 "$directory/server.py" "$directory" "$port" >"$directory/server.log" 2>&1 &
pid=$!
until [ -s "$directory/address" ]; do
    kill -0 "$pid" 2>/dev/null || ctx task abort "$program has ended: $(tail -n 1 "$directory/server.log")"
    sleep 0.1
done
ctx node attributes pid = "@$pid"
ctx node attributes address = "$(cat "$directory/address")"
step "$(ctx node name): started"
