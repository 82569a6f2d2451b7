#!/bin/sh
echo "on stdout: $password and $FROM_SETTINGS and $own"
echo "on stderr: $pin" >&2
ctx logger warning "through ctx: $password"
ctx node attributes token = "$password-of-the-script"
ctx logger info "as JSON: $(ctx service inputs)"
env >&2
exit 3
