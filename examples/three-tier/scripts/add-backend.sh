#!/bin/sh
# At the balancer: one more application to send requests to.
. "$(ctx download-resource scripts/common.sh)"
ctx source-node attributes backends "$(ctx target-node name)" = "$backend"
step "$(ctx source-node name): knows $(ctx target-node name)"
