#!/bin/sh
# Installs what the tests need and this machine lacks, from Debian's packages: the servers that the tests start
# for themselves and a C compiler for Go's race detector. Quick, and without network,
# when all is there. No service is started or left running.
set -eu

say() { echo "e2e/install.sh: $*" >&2; }
missing=
want() { # package, then a file it brings
	for file in $2; do
		[ -e "$file" ] && return
	done
	missing="$missing $1"
}
want dovecot-imapd /usr/lib/dovecot/imap
want dovecot-lmtpd /usr/lib/dovecot/lmtp
want dovecot-sieve /usr/lib/dovecot/modules/lib90_sieve_plugin.so
want postfix /usr/sbin/postfix
want postgresql '/usr/lib/postgresql/*/bin/initdb'
want libc6-dev /usr/include/stdlib.h
command -v "${CC:-gcc}" >/dev/null || missing="$missing gcc"
missing=${missing# }
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	say "the tests need these Debian packages or their like: $missing"
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		exec sudo -n CC="${CC:-gcc}" sh "$0"
	fi
	say "not root, and sudo asks for a password; as root, run: apt-get install $missing"
	exit 1
fi

say "installing $missing"
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
trap 'rm -f "$log" "$ours"' EXIT
ours=
if [ ! -e "$policy" ]; then # 101 keeps maintainer scripts from starting the services (invoke-rc.d(8))
	ours=$policy
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if command -v debconf-set-selections >/dev/null; then
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
fi
# shellcheck disable=SC2086 # a list of packages
install() { apt-get install -y -q --no-install-recommends $missing; }
if ! { install || { apt-get update -q && install; }; } >"$log" 2>&1; then
	cat "$log" >&2
	say "apt-get could not install $missing"
	exit 1
fi
# Nor shall they start with the machine: the tests start servers of their own.
if [ -d /run/systemd/system ]; then
	for package in $missing; do
		case $package in
		dovecot-imapd) systemctl disable -q --now dovecot || true ;;
		postfix | postgresql) systemctl disable -q --now "$package" || true ;;
		esac
	done
fi
