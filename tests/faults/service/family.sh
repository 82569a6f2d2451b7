# Starts a child, a grandchild, one in a session of its own and the daemon of a double fork. Then it does what
# `how` says: hang (all of them ignore SIGTERM), last (until it is told to end), or fail (at the first attempt,
# later it succeeds).
tell() { echo "${ARIA_ATTEMPT%@*} $1" >>"$directory/family"; }
note() { echo "$ARIA_ATTEMPT $1 $$ $(date +%s.%N)" >>"$directory/effects"; }

[ "$how" = hang ] && trap "" TERM
tell $$
(sleep 1000 & tell $!; wait) >/dev/null 2>&1 &
tell $!
setsid sleep 1000 >/dev/null 2>&1 &
tell $!
(setsid sh -c 'echo "${ARIA_ATTEMPT%@*} $$" >>"$directory/family"; exec sleep 1000' >/dev/null 2>&1 &)
until [ "$(grep -c "^${ARIA_ATTEMPT%@*} " "$directory/family")" -ge 5 ]; do sleep 0.01; done

note begin
case $how in
    hang) while :; do sleep 1000; done ;;
    last) while :; do sleep 0.05; done ;;
    fail) case $ARIA_ATTEMPT in */1@*) exit 1 ;; esac ;;
esac
note end
