#!/usr/bin/env ruby
# Helper of clients.sh: Ruby's Net::IMAP, Net::SMTP and Net::POP3.
# clients_ruby.rb imap HOST PORT ssl|starttls USER PASS FILE CA ADDR
# clients_ruby.rb smtp HOST PORT ssl|starttls USER PASS FILE CA ADDR
# clients_ruby.rb pop3 HOST PORT ssl USER PASS DIR CA
require 'net/imap'
require 'net/smtp'
require 'net/pop'
kind, host, port, secure, user, pass, path, ca, addr = ARGV
TLS = { verify_mode: ca.to_s.empty? ? OpenSSL::SSL::VERIFY_NONE : OpenSSL::SSL::VERIFY_PEER, ca_file: ca.to_s.empty? ? nil : ca }.compact

def must(what, ok) ok or raise what end

def imap(host, port, secure, user, pass)
  c = Net::IMAP.new(host, port: port.to_i, ssl: secure == 'ssl' ? TLS : false)
  c.starttls(TLS) unless secure == 'ssl'
  secure == 'ssl' ? c.authenticate('PLAIN', user, pass) : c.login(user, pass)
  c
end

def context
  x = OpenSSL::SSL::SSLContext.new
  x.set_params(TLS)
  x
end

case kind
when 'imap'
  c = imap(host, port, secure, user, pass)
  raw = File.binread(path)
  box = Net::IMAP.encode_utf7("Zażółć & #{Process.pid}")
  c.create(box)
  c.subscribe(box)
  must 'list', c.list('', '*').any? { |m| m.name == box } && c.lsub('', '*').any? { |m| m.name == box }
  c.append(box, raw, [:Seen, '$Kw'], Time.at(0))
  c.append(box, "From: \"Zo\u00eb\" <a@client.example>\r\nSubject: za\u017c\r\n\r\nbody\r\n".b)
  c.select(box)
  a = c.fetch(1, %w[UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[]<5.10>])[0].attr
  must 'bytes', a['BODY[]'] == raw && a['RFC822.SIZE'] == raw.bytesize && a['BODY[]<5>'] == raw[5, 10]
  must 'attributes', (a['FLAGS'] - [:Recent]).sort_by(&:to_s) == ['$Kw', :Seen] && a['INTERNALDATE'].strip == '01-Jan-1970 00:00:00 +0000' && a['ENVELOPE'].subject =~ /client test/
  must 'search', c.search(['NOT', 'SEEN']) == [2] && c.uid_search(['SUBJECT', "ZA\u017c".b], 'UTF-8') == [2] && c.search(['LARGER', 300]) == [1]
  must 'store', c.store(1..2, '+FLAGS', [:Flagged, 'custom']).size == 2
  seen = []
  other = Thread.new do
    d = imap(host, port, secure, user, pass)
    d.append(box, "Subject: pushed\r\n\r\nx\r\n")
    d.logout
  end
  c.idle(120) { |r| seen << r.name and c.idle_done if r.is_a?(Net::IMAP::UntaggedResponse) && r.name == 'EXISTS' }
  other.join
  must 'idle', seen == ['EXISTS']
  c.create("#{box}/sub")
  c.copy(1..2, "#{box}/sub")
  c.uid_move(3, "#{box}/sub")
  must 'status', c.status("#{box}/sub", %w[MESSAGES UNSEEN UIDNEXT]) == { 'MESSAGES' => 3, 'UNSEEN' => 2, 'UIDNEXT' => 4 }
  c.store(1, '+FLAGS', [:Deleted])
  must 'expunge', c.expunge.last == 1 && c.fetch(1..-1, 'UID').map { |m| m.attr['UID'] } == [2] # the list has the moved one, too
  c.close
  c.rename(box, "#{box}x")
  ["#{box}x/sub", "#{box}x"].each { |b| c.delete(b) }
  c.unsubscribe(box)
  c.logout
when 'smtp'
  s = Net::SMTP.new(host, port.to_i)
  secure == 'ssl' ? s.enable_tls(context) : s.enable_starttls(context)
  s.start('client.example', user, pass, secure == 'ssl' ? :plain : :login) do |z|
    z.send_message(File.binread(path), addr, addr)
    refused = begin
      z.send_message("x", addr, "no-such-user-zq@#{addr[/[^@]*$/]}")
    rescue Net::SMTPFatalError => e
      e.message
    end
    must "refused: #{refused}", refused =~ /\A550 5\.1\.1/
  end
when 'pop3'
  Dir.mkdir(path)
  q = Net::POP3.new(host, port.to_i)
  q.enable_ssl(TLS[:verify_mode], TLS[:ca_file])
  q.start(user, pass) do |z|
    z.mails.each_with_index { |m, i| File.binwrite("#{path}/#{i}.eml", m.pop); must 'size', m.length == File.size("#{path}/#{i}.eml") && m.unique_id && m.top(0) }
  end
end
puts 'ok'
