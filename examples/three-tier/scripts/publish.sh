#!/bin/sh
# At an application: whether requests come through a balancer now.
. "$(ctx download-resource scripts/common.sh)"
ctx target-node attributes is_published = "@$is_published"
step "$(ctx target-node name): is_published is $is_published"
