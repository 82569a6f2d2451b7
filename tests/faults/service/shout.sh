# Prints `megabytes` times a mebibyte made of `pattern` (as printf has it), once somebody watches.
note() { echo "$ARIA_ATTEMPT $1 $$ $(date +%s.%N)" >>"$directory/effects"; }
note begin
until [ -e "$directory/watched" ]; do sleep 0.01; done
python3 -c '
import sys
pattern = bytes(map(int, sys.argv[1].split()))
piece = pattern * (1024 * 1024 // len(pattern))
for _ in range(int(sys.argv[2])):
    sys.stdout.buffer.write(piece)
' "$pattern" "$megabytes"
note end
