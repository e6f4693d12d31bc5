#!/bin/bash
# Posthouse in a scratch directory, for measuring.
#
#   posthouse.sh start [TOML ...]   set up (once) and start; the arguments are more lines of configuration
#   posthouse.sh stop | pid
# POSTHOUSE is the binary (default ../bin/posthouse), SCRATCH the directory (default /var/tmp/mailbench).
#
# SMTP 127.0.0.1:4525, submission 4587, LMTP 4424, IMAP 4143, IMAPS 4993, POP3 4110, HTTP 4080. Accounts
# user1..user100@example.test and big1@example.test with the password "secret". Mail for any other domain goes to
# 127.0.0.1:2626, where a sink should listen. Everything durable is at its default.
set -e
here=$(cd "$(dirname "$0")" && pwd)
P=${POSTHOUSE:-$here/../bin/posthouse}
D=${SCRATCH:-/var/tmp/mailbench}/posthouse
case ${1:-start} in
start)
  shift || true
  mkdir -p $D
  cat >$D/posthouse.toml <<X
hostname = "mx.bench.test"
data = "$D/data"
[listen]
smtp = ["127.0.0.1:4525"]
submission = ["127.0.0.1:4587"]
lmtp = ["127.0.0.1:4424"]
imap = ["127.0.0.1:4143"]
imaps = ["127.0.0.1:4993"]
pop3 = ["127.0.0.1:4110"]
http = ["127.0.0.1:4080"]
[auth]
allow_plaintext = true
[limits]
trusted = ["127.0.0.0/8"]
connections = 100000
[outbound]
[[outbound.route]]
match = "*"
via = "smtp://127.0.0.1:2626"
[log]
level = "warn"
$(printf '%s\n' "$@")
X
  if [ ! -d $D/data ]; then
    $P domain add --config $D/posthouse.toml example.test >/dev/null 2>&1
    for u in $(seq -f 'user%g' 100) big1; do echo secret | $P account add --config $D/posthouse.toml --password-stdin $u@example.test; done
  fi
  (ulimit -n $(ulimit -Hn); exec $P serve --config $D/posthouse.toml) >/dev/null 2>$D/log </dev/null & echo $! >$D/pid
  for i in $(seq 200); do curl -sf http://127.0.0.1:4080/readyz >/dev/null && break; sleep 0.1; done
  cat $D/pid ;;
stop) kill $(cat $D/pid); for i in $(seq 350); do kill -0 $(cat $D/pid) 2>/dev/null || exit 0; sleep 0.1; done; exit 1 ;;
pid) cat $D/pid ;;
esac
