#!/bin/sh
# At the database: an account for the application that will query it.
. "$(ctx download-resource scripts/common.sh)"
accounts="$(ctx target-node attributes directory)/accounts"
account=$(ctx source-node name)
password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
mkdir -p "$accounts"
(umask 077 && echo "$password" >"$accounts/$account")
ctx relationship attributes password = "$password"
step "$(ctx target-node name): gave an account to $account"
