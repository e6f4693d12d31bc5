<?php
// Helper of clients.sh: PHP's imap extension (the UW c-client library).
// clients_php.php imap HOST PORT FLAGS USER PASS FILE
// clients_php.php pop3 HOST PORT FLAGS USER PASS DIR
set_error_handler(function ($n, $text) { throw new Exception($text); });
[, $kind, $host, $port, $flags, $user, $pass, $path] = $argv;
$server = '{' . "$host:$port/$kind$flags" . '}';
function must($ok, $what) { if ($ok === false) throw new Exception("$what: " . imap_last_error()); return $ok; }
function same($got, $want, $what) { if ($got !== $want) throw new Exception("$what: got " . json_encode($got) . ', want ' . json_encode($want)); }
function open($server, $box, $options = 0) { global $user, $pass; return must(imap_open("$server$box", $user, $pass, $options), "open $box"); }
$c = open($server, 'INBOX');
if ($kind === 'pop3') {
  mkdir($path);
  for ($i = 1; $i <= imap_num_msg($c); $i++) file_put_contents("$path/$i.eml", imap_fetchheader($c, $i) . imap_body($c, $i));
  printf("%d ok\n", imap_num_msg($c));
  imap_close($c);
  exit;
}
$raw = file_get_contents($path); $size = strlen($raw);
$box = 'Za&AXwA8wFCAQc- &- ' . getmypid(); // Zażółć &
foreach ([$box, "$box/sub"] as $b) { must(imap_createmailbox($c, $server . $b), "create $b"); must(imap_subscribe($c, $server . $b), "subscribe $b"); }
foreach (['imap_list', 'imap_lsub'] as $list) same(in_array($server . $box, $list($c, $server, '*')), true, $list);
same(imap_append($c, $server . 'no-such-box', $raw), false, 'append to nowhere');
same(preg_match('/TRYCREATE/', imap_last_error()), 1, 'TRYCREATE');
must(imap_append($c, $server . $box, $raw, '\\Seen $Label1', '17-Jul-1996 02:44:25 -0700'), 'append');
must(imap_append($c, $server . $box, "From: zo\xc3\xab@client.example\r\nSubject: za\xc5\xbc\r\n\r\nbody\r\n"), 'append UTF-8');
must(imap_append($c, $server . $box, "Subject: nested\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\r\nfirst\r\n--o\r\n"
  . "Content-Type: message/rfc822\r\n\r\nSubject: \"inner\" \\ one\r\n\r\ndeep\r\n--o--\r\n"), 'append nested');
must(imap_reopen($c, $server . $box), 'reopen');
same(imap_num_msg($c), 3, 'messages');
same(imap_fetchheader($c, 1) . imap_body($c, 1, FT_PEEK), $raw, 'bytes');
$o = imap_fetch_overview($c, '1')[0];
same([$o->size, $o->seen, $o->udate], [$size, 1, 837596665], 'overview');
$s = imap_fetchstructure($c, 3);
same([$s->subtype, count($s->parts), $s->parts[1]->subtype], ['MIXED', 2, 'RFC822'], 'structure');
same([trim(imap_fetchbody($c, 3, '1')), trim(imap_fetchbody($c, 3, '2.1'))], ['first', 'deep'], 'parts');
foreach (['SUBJECT "client test"' => [1], 'UNSEEN' => [2], 'KEYWORD $Label1' => [1], 'ON "17-Jul-1996"' => [1], 'BODY "deep"' => [3]] as $q => $want) same(imap_search($c, $q), $want, $q);
same(imap_search($c, "SUBJECT \"ZA\xc5\xbc\"", SE_UID, 'UTF-8'), [2], 'search in UTF-8');
same(imap_sort($c, SORTSIZE, true), $size > 300 ? [1, 3, 2] : [3, 1, 2], 'sort'); // the client's own work, as is threads
must(imap_thread($c), 'thread');
must(imap_setflag_full($c, '1:2', '\\Flagged custom'), 'set flags'); must(imap_clearflag_full($c, '2', '\\Flagged'), 'clear flags');
same(array_map(fn($o) => $o->flagged, imap_fetch_overview($c, '1:3')), [1, 0, 0], 'flags');
must(imap_mail_copy($c, '1', "$box/sub"), 'copy'); must(imap_mail_move($c, '2', "$box/sub"), 'move'); must(imap_expunge($c), 'expunge');
$st = must(imap_status($c, "$server$box/sub", SA_ALL), 'status'); same([$st->messages, $st->unseen, $st->uidnext], [2, 1, 3], 'status');
$d = open($server, $box, OP_READONLY); // a second client sees what comes and goes
must(imap_append($c, $server . $box, "Subject: x\r\n\r\nx\r\n"), 'append'); imap_ping($d); same(imap_num_msg($d), 3, 'new mail elsewhere');
must(imap_delete($c, '1'), 'delete'); must(imap_expunge($c), 'expunge'); imap_ping($d); same(imap_num_msg($d), 2, 'expunged elsewhere');
imap_close($d);
must(imap_reopen($c, $server . 'INBOX'), 'reopen');
must(imap_renamemailbox($c, $server . $box, $server . $box . 'x'), 'rename');
foreach (['x/sub', 'x'] as $b) must(imap_deletemailbox($c, $server . $box . $b), "delete $b");
imap_errors(); imap_close($c); echo "ok\n";
