#!/bin/sh
# second-build.sh FOLDER OPTION...: in a folder of the build folder, where it is called, a build with
# the options of this one and these, which win. Does nothing when it is there and up to date.
set -eu
src=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1
shift

options=$(./config.status --config)
mkdir -p "$folder"
cd "$folder"
if [ ! -f config.status ] || [ -n "$(find "$src/configure" -newer config.status)" ]; then
	export CONFIG_SHELL=/bin/sh # libtool's, too: half the time of bash for each link
	# What config.status prints is quoted for a shell.
	eval 'exec "$src/configure"' "$options" '"$@"'
fi
