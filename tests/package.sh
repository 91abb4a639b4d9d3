#!/usr/bin/env bash
# Makes the Debian package of the debug build, installs it below a temporary folder with dpkg, and runs its units there
# (tests/package/units.py): migrate, five services, purchases, audit, stop. Then an update, a way back, a removal and a
# purge of the package. Nothing of this machine is changed. It needs dpkg, lintian, systemd-analyze, libseccomp, python3
# and PostgreSQL's programs.
#
#   tests/package.sh            all checks
#   tests/package.sh FILE.deb   of an existing package
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "package: $*"; }
fail() { echo "package: $*" >&2; exit 1; }

for needed in dpkg-deb lintian systemd-analyze python3; do
  command -v $needed >/dev/null || fail "$needed is not installed"
done
began=$SECONDS
work="$(mktemp -d /tmp/ecommerce-package.XXXXXX)"
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

package="${1:-}"
if [ -z "$package" ]; then
  docker/packages.sh --profile dev --out "$work/made" deb
  package="$(echo "$work"/made/*.deb)"
fi

# --- what is in it ---
mkdir "$work/control"
dpkg-deb --control "$package" "$work/control"
dpkg-deb --contents "$package" >"$work/files"
field() { dpkg-deb --field "$package" "$1"; }
[ "$(field Package)" = ecommerce ] || fail "the name of the package is $(field Package)"
workspace="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
[[ "$(field Version)" = "$workspace"-* ]] || fail "version $(field Version) of a workspace of $workspace"
[[ "$(field Depends)" == *libc6* ]] || fail "libc6 is not among the dependencies: $(field Depends)"
grep -vE ' (root/root|0/0) ' "$work/files" && fail "files of other accounts"
grep -E '^.{5}w|^.{8}w|^-..s' "$work/files" && fail "files that others can write, or with special bits"
diff <(sort "$work/control/conffiles") <(awk '$6 ~ /^\.\/etc\/.*[^\/]$/ { print substr($6, 2) }' "$work/files" | sort) || fail "conffiles are not the files in /etc"
for script in "$work"/control/{postinst,prerm,postrm}; do
  sh -n "$script"
  ! grep -E 'systemctl.*(start|enable)|invoke-rc' "$script" || fail "$(basename "$script") starts something"
done
for unit in docker/systemd/*.{service,timer,target}; do
  grep -qF "./usr/lib/systemd/system/$(basename "$unit")" "$work/files" || fail "$(basename "$unit") is not in the package"
done

lintian --allow-root --fail-on error,warning "$package" >"$work/lintian" 2>&1 || { cat "$work/lintian" >&2; fail "lintian"; }

# --- installed ---
root="$work/root"
mkdir -p "$root/var/lib/dpkg/"{info,updates,triggers} "$root/etc"
# Its dependencies are those of this machine.
cp /var/lib/dpkg/status "$root/var/lib/dpkg/status"
as_user=()
[ "$(id -u)" = 0 ] || as_user=(--force-not-root)
on_root() { dpkg --root="$root" --force-script-chrootless --force-confdef --log="$work/dpkg.log" "${as_user[@]}" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "dpkg $*"; }; }
state() { dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat='${db:Status-Status} ${Version}' ecommerce 2>/dev/null || echo none; }
on_root --install "$package"
[ "$(state)" = "installed $(field Version)" ] || fail "after the installation it is: $(state)"
[ "$(stat -c %a "$root/etc/ecommerce/secrets")" = 700 ] || fail "others can look into the secrets"

systemd-analyze verify --root="$root" --man=no --recursive-errors=no ecommerce.target ecommerce@payments.service \
  ecommerce@orchestrator.service ecommerce-migrate.service ecommerce-audit.service ecommerce-audit.timer >"$work/verify" 2>&1 \
  || { cat "$work/verify" >&2; fail "systemd-analyze verify"; }
[ ! -s "$work/verify" ] || { cat "$work/verify" >&2; fail "systemd-analyze verify has remarks"; }
# In tenths: 2.0 of 10; a service without protection has 9.6.
EXPOSURE=20
for unit in ecommerce@payments.service ecommerce@orchestrator.service ecommerce-migrate.service ecommerce-audit.service; do
  systemd-analyze security --root="$root" --offline=yes --threshold=$EXPOSURE --no-pager "$unit" >"$work/security" 2>&1 \
    || { cat "$work/security" >&2; fail "$unit is too exposed"; }
  say "$unit: exposure $(grep -oE '[0-9.]+ [A-Z]+' "$work/security" | tail -n 1)"
done

python3 tests/package/units.py "$root" "$work"

# --- update, way back, removal ---
remember() { (cd "$root" && cat etc/ecommerce/ecommerce.env etc/ecommerce/secrets/* | cksum); }
before="$(remember)"
dpkg-deb --raw-extract "$package" "$work/newer"
sed -i 's/^Version: .*/Version: 999.0-1/' "$work/newer/DEBIAN/control"
echo '# of the newer version' >>"$work/newer/etc/ecommerce/config/production.toml"
echo '# of the newer version' >>"$work/newer/etc/ecommerce/ecommerce.env"
dpkg-deb -Znone --build "$work/newer" "$work/newer.deb" >/dev/null
on_root --install "$work/newer.deb"
[ "$(state)" = "installed 999.0-1" ] || fail "after the update it is: $(state)"
[ "$(remember)" = "$before" ] || fail "the update changes settings or secrets of the operator"
grep -q 'of the newer version' "$root/etc/ecommerce/config/production.toml" || fail "the update does not bring its configuration"
on_root --install "$package"
[ "$(state)" = "installed $(field Version)" ] || fail "after the way back it is: $(state)"
[ "$(remember)" = "$before" ] || fail "the way back changes settings or secrets of the operator"
! grep -q 'of the newer version' "$root/etc/ecommerce/config/production.toml" || fail "the way back keeps the newer configuration"
on_root --remove ecommerce
[ ! -e "$root/usr/lib/ecommerce/ecommerce" ] || fail "the removal leaves the program"
[ "$(remember)" = "$before" ] || fail "the removal changes settings or secrets"
on_root --purge ecommerce
left="$(cd "$root" && find . -path ./var -prune -o \( -name '*ecommerce*' -print \))"
[ -z "$left" ] || fail "the purge leaves: $left"
say "installed, updated, taken back, removed and purged with dpkg; $(du -k "$package" | cut -f 1) KB; $((SECONDS - began)) s"
