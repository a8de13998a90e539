#!/bin/bash
# Compares sessprune with find -delete on a directory of many sessions of which
# half have expired, on tmpfs and on ext4, in turns, and prints the ratio of the
# times. The target is 0.8 or less. As root, for the two mounts:
#
#	bench/prune.sh [FILES [ROUNDS [FILESYSTEM...]]]
#
# With a million files it takes about 5 GiB of memory for tmpfs, 6 GiB of disk
# in TMPDIR for ext4, and some minutes a round. COLD=1 drops the caches before
# each measurement. RT=1 gives both programs the processors for themselves, by
# chrt(1), on a machine that others use as well.
set -euo pipefail
cd "$(dirname "$0")/.."
files=${1:-1000000} rounds=${2:-3}
shift $(($# < 2 ? $# : 2))
systems=${*:-tmpfs ext4}

work=$(mktemp -d)
cleanup() {
	cd /
	umount -l "$work/mount" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/mount"
go build -o "$work/sessprune" ./cmd/sessprune
(cd bench && go build -o "$work/prunefiles" ./prunefiles)

mount_fs() {
	case $1 in
	tmpfs) mount -t tmpfs -o "size=$((files / 1000 * 8))m,nr_inodes=0" tmpfs "$work/mount" ;;
	ext4)
		truncate -s "$((files / 1000 * 8 + 256))M" "$work/image"
		mkfs.ext4 -q -i 4096 "$work/image"
		mount -o loop "$work/image" "$work/mount"
		;;
	esac
}

# measure NAME COMMAND...: fills a new directory, runs the command on it and
# leaves the seconds in $seconds and what files are left in $left.
measure() {
	local name=$1 dir=$work/mount/$1 start
	shift
	mkdir -m 700 "$dir"
	"$work/prunefiles" "$dir" "$files" 400h
	sync
	[ -z "${COLD:-}" ] || echo 3 >/proc/sys/vm/drop_caches
	start=$(date +%s%N)
	${RT:+chrt -f 1} "$@" "$dir" "${tail[@]}"
	seconds=$(($(date +%s%N) - start))
	left=$(find "$dir" -type f | wc -l)
	rm -rf "$dir"
	sync
}

for fs in $systems; do
	mount_fs "$fs"
	ratios=()
	for ((i = 1; i <= rounds; i++)); do
		tail=(-name 'session_*.sess' -mmin +20160 -delete)
		measure find find
		find_time=$seconds find_left=$left
		tail=()
		measure sessprune "$work/sessprune" --quiet --idle-timeout 336h
		[ "$left" = "$find_left" ] || { echo "sessprune left $left files, find $find_left" >&2; exit 1; }
		ratio=$(awk "BEGIN { printf \"%.2f\", $seconds / $find_time }")
		ratios+=("$ratio")
		awk "BEGIN { printf \"%s, %d files, round %d: find %.1f s, sessprune %.1f s, ratio %s\n\", \"$fs\", $files, $i, $find_time / 1e9, $seconds / 1e9, \"$ratio\" }"
	done
	printf '%s\n' "${ratios[@]}" | sort -n | awk "{ a[NR] = \$1 } END { print \"$fs: median ratio \" a[int((NR + 1) / 2)] }"
	umount "$work/mount"
	rm -f "$work/image"
done
