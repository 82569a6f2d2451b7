#!/bin/sh
# Ends the server and waits until it is gone. A process with its number that is not ours is left alone.
set -eu
directory=$(ctx node attributes directory)
pid=$(ctx node attributes pid)

runs() {
    command=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || ps -p "$pid" -o args= 2>/dev/null || :)
    case $command in *"$directory/public"*) true ;; *) false ;; esac
}

if [ -n "$pid" ]; then
    if runs; then kill "$pid"; fi
    while runs; do sleep 0.1; done
fi
ctx node attributes pid = @null
ctx node attributes url = @null
ctx logger info "the server is gone"
