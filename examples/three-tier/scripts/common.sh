# What every script begins with.
set -eu

step() {  # tells what was done, in the log and in the journal if there is one
    ctx logger info "$*"
    journal=$(ctx service inputs journal)
    if [ -n "$journal" ]; then echo "$*" >>"$journal"; fi
}

runs() {  # whether the process $pid is the server that keeps its files in $directory
    command=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || ps -p "$pid" -o args= 2>/dev/null || :)
    case $command in *"$directory/server.py"*) true ;; *) false ;; esac
}
