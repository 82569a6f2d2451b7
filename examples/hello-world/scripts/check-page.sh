#!/bin/sh
# Asks for the page until it is there: a server needs a moment before it answers.
set -eu
kill -0 "$pid" 2>/dev/null || ctx task abort "the server has ended"
problem=$(python3 - "$url" "$greeting" 2>&1 <<'PYTHON'
import html, sys, urllib.request
try:
    page = urllib.request.urlopen(sys.argv[1], timeout=5).read().decode()
except OSError as error:
    sys.exit(str(error))
if sys.argv[2] not in html.unescape(page):
    sys.exit("there is another page")
PYTHON
) || ctx task retry "$url: $problem"
ctx logger info "$url says: $greeting"
