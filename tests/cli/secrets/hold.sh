#!/bin/sh
echo $$ > "$gate.part" && mv "$gate.part" "$gate.held"
while [ ! -e "$gate.seen" ]; do sleep 0.05; done
