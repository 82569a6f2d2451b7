#!/bin/sh
# At the application: where its database is, and the account to use there.
. "$(ctx download-resource scripts/common.sh)"
settings="$(ctx source-node attributes directory)/settings"
(umask 077 && printf '%s\n' "$database" "$(ctx source-node name)" "$password" >"$settings")
step "$(ctx source-node name): uses $(ctx target-node name)"
