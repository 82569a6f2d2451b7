"""The shell programs that run on the remote host, and what they are sent.

Each attempt has a directory there, which only its user may enter, and a *watch*: a program that ends
everything the attempt has started, and removes the directory, as soon as it is told to or its
standard input ends, as it does when the connection breaks or this process is killed. What is run beside it is
*launched*: the program gets its files and its environment through its standard input, so that
nothing of it is seen in a list of processes. POSIX sh and the usual tools suffice; processes are
found through ``/proc``, elsewhere than on Linux only process groups are ended.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

DIRECTORY = "aria directory "
READY = "aria ready"
REFUSED = "aria refused "
"""How lines begin that these programs print; other lines, e.g. of a ``.bashrc``, are passed over."""

SUDO_PROMPT = "aria-sudo-password:"
MARK = "ARIA_SSH_DIRECTORY"
"""The variable by which the watch knows the attempt's processes."""

BEAT_SECONDS = 10.0
SILENCE_SECONDS = 30
"""After which the watch takes the connection for lost: sooner than we do (`connections`), so that another
attempt finds nothing of this one.
"""
"""For how long a watch waits for the next sign of life."""

SHELL_NAMES = frozenset({
    "BASHOPTS", "BASH_VERSINFO", "EUID", "LINENO", "OPTIND", "PPID", "SHELLOPTS", "UID", "_"})
"""Variables that shells keep for themselves: some refuse to set them, and end."""

_MAKE = """
trap '' HUP INT TERM
umask 077
aria_d=$(mktemp -d "$1/aria-XXXXXXXXXX") || exit 1
printf '\\naria directory %s\\n' "$aria_d"
aria_w=$2 aria_s=$3
shift 3
"$@" "$aria_w" aria "$aria_d" "$aria_s"
aria_c=$?
rmdir "$aria_d" 2>/dev/null
exit $aria_c
"""

_WATCH = """
d=$1 silence=$2
trap '' HUP INT PIPE TERM
marked() {
    if printf 'a\\0b\\0' | grep -qzxF -e b 2>/dev/null; then
        grep -lszxF -e "ARIA_SSH_DIRECTORY=$d" /proc/[0-9]*/environ 2>/dev/null
        return
    fi
    for each in /proc/[0-9]*/environ; do
        { tr '\\0' '\\n' <"$each" | grep -qxF -e "ARIA_SSH_DIRECTORY=$d"; } 2>/dev/null && echo "$each"
    done
}
found() {
    for each in /proc/[0-9]*/stat; do
        { IFS= read -r line <"$each"; } 2>/dev/null || continue
        number=${each#/proc/}
        set -- ${line##*) }
        [ "$1" = Z ] || for session in $sessions; do
            [ "$4" != "$session" ] || printf '%s ' "${number%/stat}"
        done
    done
    for each in $(marked); do
        number=${each#/proc/}
        printf '%s ' "${number%/environ}"
    done
}
hit() {
    for each in $(found); do kill -s "$1" "$each" 2>/dev/null; done
    [ -d /proc/self ] || for each in $sessions; do kill -s "$1" -- "-$each" 2>/dev/null; done
}
finish() {
    mkdir "$d/ending" 2>/dev/null || return
    [ -f "$d/sessions" ] && sessions=$(cat "$d/sessions")
    hit TERM
    count=0
    while [ $count -lt 20 ] && [ -n "$(found)" ]; do
        sleep 0.1 2>/dev/null || sleep 1
        count=$((count + 1))
    done
    count=0
    while hit KILL; [ $count -lt 50 ] && [ -n "$(found)" ]; do
        sleep 0.1 2>/dev/null || sleep 1
        count=$((count + 1))
    done
}
(
    exec </dev/null >/dev/null 2>&1
    last= quiet=0
    while [ -d "$d" ]; do
        sleep 2
        beat=$(cat "$d/beat")
        [ "$beat" = "$last" ] && quiet=$((quiet + 2)) || quiet=0
        last=$beat
        if [ $quiet -ge "$silence" ]; then
            finish
            rm -rf "$d"
            kill -s KILL $$
        fi
    done
) &
timer=$!
printf '\\naria ready\\n'
order=
while IFS= read -r order; do
    case $order in
        keep | end) break ;;
        *) printf '%s\\n' "$order" >"$d/beat" ;;
    esac
done
kill -s KILL $timer
[ "$order" = keep ] || finish
[ -f "$d/refused" ] && printf 'aria refused %s\\n' "$(cat "$d/refused")"
rm -rf "$d"
"""

_LAUNCH = """
aria_d=$1 aria_size=$2
shift 2
aria_session() {
    { IFS= read -r aria_line </proc/$$/stat; } 2>/dev/null
    set -- ${aria_line##*) }
    printf '%s\\n' "${4:-$$}"
}
aria_mask=$(umask)
umask 077
aria_session >>"$aria_d/sessions" || exit 125
aria_at=1 aria_payload=$(mktemp "$aria_d/payload-XXXXXX") || exit 125
printf '\\naria ready\\n'
cat >"$aria_payload"
[ $(($(wc -c <"$aria_payload"))) -eq "$aria_size" ] || exit 125
while [ $# -gt 0 ]; do
    mkdir -p "$aria_d/${1%/*}"
    tail -c "+$aria_at" "$aria_payload" | head -c "$2" >"$aria_d/$1"
    chmod 700 "$aria_d/$1"
    aria_at=$((aria_at + $2))
    shift 2
done
tail -c "+$aria_at" "$aria_payload" >"$aria_payload.start"
rm -f "$aria_payload"
umask "$aria_mask"
. "$aria_payload.start"
"""


def watch_command(directory: str, sudo: Sequence[str], silence: int = SILENCE_SECONDS) -> str:
    """What makes the attempt's directory below `directory` and watches over it."""
    return _line("sh", "-c", _MAKE, "aria", directory, _WATCH, str(silence), *sudo, "sh", "-c")


def end_command(directory: str, sudo: Sequence[str]) -> str:
    """A second watch, for an attempt whose own has been killed."""
    return _line(*sudo, "sh", "-c", _WATCH, "aria", directory, str(SILENCE_SECONDS))


def launch_command(directory: str, files: Mapping[str, bytes], start: bytes, sudo: Sequence[str]) -> str:
    """What takes `files` (path below the attempt's directory -> content) and `start`, and runs `start`."""
    sizes = [word for name, content in files.items() for word in (name, str(len(content)))]
    total = len(start) + sum(len(content) for content in files.values())
    return _line(*sudo, "sh", "-c", _LAUNCH, "aria", directory, str(total), *sizes)


def _line(*words: str) -> str:
    return "exec " + " ".join(shlex.quote(each) for each in words)


def start_program(choices: Sequence[Sequence[str]], missing: str, *, cwd: str | None,
                  variables: Mapping[str, str], path: str, directory: str) -> bytes:
    """The shell code that becomes the first program of `choices` there is, with `variables`.

    `path` comes first on PATH. Why it cannot be started is written where the watch of `directory` finds it.
    """
    lines = ['rm -f "$aria_payload.start"']
    if cwd is not None:
        lines.append(f"cd -- {_quoted(cwd)} 2>/dev/null || {_refusal(directory, _no_directory(cwd))}")
    lines += [f"export {name}={_quoted(value)}" for name, value in variables.items()]
    lines.append(f"export PATH={_quoted(path)}:\"${{PATH:-/usr/local/bin:/usr/bin:/bin}}\"")
    for words in choices:
        found = f"command -v {_quoted(words[0])} >/dev/null 2>&1"
        lines.append(f"{found} && exec {' '.join(map(_quoted, words))} </dev/null")
    return "\n".join([*lines, _refusal(directory, missing), ""]).encode()


def _no_directory(cwd: str) -> str:
    return f"the process setting cwd is {cwd!r}, which is no directory there"


def _refusal(directory: str, sentence: str) -> str:
    return f"{{ printf '%s' {_quoted(sentence)} >{_quoted(directory + '/refused')}; exit 126; }}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def helpless_program(sentence: str) -> bytes:
    """A program that can only say why it does nothing."""
    return f"#!/bin/sh\nprintf '%s\\n' {_quoted(sentence)} >&2\nexit 1\n".encode()


def safe_name(name: str) -> str:
    """A script's name as the remote host may have it."""
    return re.sub(r"[^\w.+-]", "_", name)[-100:] or "script"
