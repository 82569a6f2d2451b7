#!/bin/sh
# At the database: the application's account is closed.
. "$(ctx download-resource scripts/common.sh)"
rm -f "$(ctx target-node attributes directory)/accounts/$(ctx source-node name)"
ctx relationship attributes password = @null
step "$(ctx target-node name): closed the account of $(ctx source-node name)"
