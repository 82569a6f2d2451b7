#!/bin/sh
# At the balancer: the file that its server reads. The input is JSON, since it is a map.
. "$(ctx download-resource scripts/common.sh)"
echo "$backends" >"$(ctx node attributes directory)/backends.json"
step "$(ctx node name): configured"
