#!/bin/sh
# Renders page.html of the template into the folder that the server told of.
set -eu
ctx download-resource-and-render page.html "$directory/public/index.html"
