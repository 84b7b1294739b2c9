#!/bin/sh
# Put here by `sessionctl setup --method consolekit`; `sessionctl setup --method consolekit --undo` takes it away.
#
# ConsoleKit runs it as root when a session begins and when it ends, and waits for it, 15 seconds at most. It runs the
# scripts of /etc/session.d, which may make what the user's tree is built from, and then puts the
# user's tree at its path on the host, for a program that calls chroot later (pam_chroot, say). ConsoleKit ignores the
# exit status: what goes wrong is in ConsoleKit's own log, and the path is not there.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
enter=/usr/bin/session-enter
scripts=/usr/bin/session-scripts
# One file for each session that has a tree, with the user's name.
held=/run/session-sandbox-consolekit

[ -x "$enter" ] || exit 0
# Before ConsoleKit 2 the id is a path of D-Bus.
session=${CK_SESSION_ID##*/}
case $session in
'' | .* | *[!A-Za-z0-9_.-]*) exit 0 ;;
esac

case $1 in
session_added)
	# There is no name in the environment.
	case $CK_SESSION_USER_UID in
	'' | *[!0-9]*) exit 0 ;;
	esac
	user=$(getent passwd "$CK_SESSION_USER_UID" | cut -d: -f1)
	[ -n "$user" ] || exit 0
	set -- --user "$user" --session "$session" --service "${CK_SESSION_SERVICE:-consolekit}"
	[ -z "$CK_SESSION_DISPLAY_DEVICE" ] || set -- "$@" --tty "${CK_SESSION_DISPLAY_DEVICE#/dev/}"
	[ -z "$CK_SESSION_REMOTE_HOST_NAME" ] || set -- "$@" --rhost "$CK_SESSION_REMOTE_HOST_NAME"
	# What a script refuses gets no tree.
	[ ! -x "$scripts" ] || "$scripts" ck session_added || exit
	"$enter" "$@" --prepare || exit
	umask 077
	mkdir -p "$held"
	printf '%s\n' "$user" >"$held/$session"
	;;
session_removed)
	# Those of the end come behind the tree, and nobody waits for them.
	trap '[ ! -x "$scripts" ] || "$scripts" ck session_removed' EXIT
	# Of a session that got no tree there is none to release: the count is that of the user's other sessions.
	[ -f "$held/$session" ] || exit 0
	user=$(cat "$held/$session")
	rm -f "$held/$session"
	"$enter" --user "$user" --release
	;;
esac
