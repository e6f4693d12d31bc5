package report

import "posthouse/internal/status"

// reason is a status code in plain words: why, and what the sender can do.
type reason struct{ why, do string }

// reasons of enhanced codes (RFC 3463, RFC 5248, RFC 7505, RFC 6531, RFC 7293, RFC
// 8689), by subject and detail; detail 0 stands for the rest of its subject.
var reasons = map[[2]uint16]reason{
	{1, 0}:  {"There is something wrong with the address.", "Please check how it is written."},
	{1, 1}:  {"There is no such address there.", "Please check how it is written, or ask the recipient for the right one."},
	{1, 2}:  {"There is no such mail domain.", "Please check what stands after the @."},
	{1, 3}:  {"The address is not written as it must be.", "Please check how it is written."},
	{1, 6}:  {"The recipient has moved and left no new address.", "Please find out the new one by other means."},
	{1, 8}:  {"The receiving server does not like your own address.", "Please check that mail to your address arrives, and ask your mail administrator."},
	{1, 10}: {"This domain takes no mail at all.", "Please find another address of the recipient."},
	{2, 0}:  {"The mailbox cannot take the message.", "Please tell the recipient by other means."},
	{2, 1}:  {"The mailbox is closed or switched off.", "Please tell the recipient by other means."},
	{2, 2}:  {"The recipient's mailbox is full.", "Please send the message again later, or tell the recipient by other means."},
	{2, 3}:  {"The message is larger than the recipient may receive.", "Please send less at a time, or put large files where they can be fetched."},
	{3, 0}:  {"The receiving server has a fault or does not take such mail.", "Please send the message again later."},
	{3, 1}:  {"The receiving server has no room left.", "Please send the message again later."},
	{3, 2}:  {"The receiving server takes no mail at the moment.", "Please send the message again later."},
	{3, 3}:  {"The receiving server lacks an ability that the message asks for.", "Please send it without that option."},
	{3, 4}:  {"The message is too large for the receiving server.", "Please send less at a time, or put large files where they can be fetched."},
	{4, 0}:  {"There is a fault in the network or at the receiving server.", "Please send the message again later."},
	{4, 1}:  {"The receiving server cannot be reached.", "Please send the message again later. If it fails again, its owner must correct that."},
	{4, 2}:  {"The connection to the receiving server broke off.", "Please send the message again later."},
	{4, 3}:  {"The name service of the recipient's domain does not answer.", "Please check what stands after the @, and send the message again later."},
	{4, 4}:  {"The domain names mail servers that cannot be found.", "Please check what stands after the @. Otherwise the domain's owner must correct that."},
	{4, 6}:  {"The message goes in circles between mail servers.", "Please tell the administrators of the recipient's domain."},
	{4, 7}:  {"The time in which it had to be delivered is over; the last obstacle is given here.", "Please send the message again if it still matters, or tell the recipient by other means."},
	{5, 3}:  {"The server takes fewer recipients at a time.", "Please send the message to fewer recipients at a time."},
	{6, 0}:  {"The message is not written in a form that can be sent on safely.", "Please send it again in plain form, or as an attachment."},
	{6, 3}:  {"The message is in a form that the receiving server does not take, and that cannot be changed.", "Please send it again in another form, with attachments in base64."},
	{6, 7}:  {"The receiving server does not take international (UTF-8) addresses or headers.", "Please use an address without such characters, yours and the recipient's."},
	{7, 0}:  {"The receiving server refuses the message by its own rules.", "What it says may tell how to satisfy them. Otherwise please ask your mail administrator."},
	{7, 1}:  {"The receiving server refuses the message by its own rules.", "What it says may tell how to satisfy them. Otherwise please ask your mail administrator."},
	{7, 17}: {"The address belongs to somebody else now than when you last knew.", "Please find out the new address by other means."},
	{7, 18}: {"The domain belongs to somebody else now than when you last knew.", "Please find out the new address by other means."},
	{7, 19}: {"It cannot be found out whether the address still belongs to whom you know.", "Please tell the recipient by other means."},
	{7, 23}: {"The receiving server says that the message does not prove to come from its domain (SPF).", "Please tell your mail administrator."},
	{7, 26}: {"The receiving server says that the message does not prove to come from its domain.", "Please tell your mail administrator."},
	{7, 30}: {"The message must travel over protected connections only, which the receiving server cannot give.", "Please send it again without that demand, if that is acceptable."},
}

// ourReasons are those of codes that mean something else when it is this server
// that says them.
var ourReasons = map[[2]uint16]reason{
	{3, 0}: {"This mail server has a fault.", "Please tell its administrator, and send the message again later."},
	{3, 2}: {"This mail server sends nothing there at the moment.", "Please send the message again later, or ask the administrator of this server."},
}

// explain puts an enhanced code into plain words, that of another server or of
// ours; the zero reason when the remote's own words must do.
func explain(e status.Enhanced, remote bool) reason {
	if r, ok := ourReasons[[2]uint16{e.Subject, e.Detail}]; ok && !remote {
		return r
	}
	if r, ok := reasons[[2]uint16{e.Subject, e.Detail}]; ok {
		return r
	}
	return reasons[[2]uint16{e.Subject, 0}]
}
