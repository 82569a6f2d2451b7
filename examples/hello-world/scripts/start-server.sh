#!/bin/sh
# Starts the server and leaves it running. Its output goes to a file: nobody reads this script's any more.
set -eu
directory=$(ctx node attributes directory)
python3 -c 'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1])))' "$port" 2>/dev/null ||
    ctx task abort "port $port is in use or not allowed; choose another one with --input port=NUMBER"
nohup python3 -u -m http.server "$port" --bind 127.0.0.1 --directory "$directory/public" \
    >"$directory/server.log" 2>&1 &
ctx node attributes pid = "@$!"
ctx node attributes url = "http://127.0.0.1:$port/"
ctx logger info "the server is process $!"
