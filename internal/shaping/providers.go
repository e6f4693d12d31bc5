package shaping

import "time"

// providers are what is known of big receivers: what others have found them to
// take from one source without complaint. They are a start; the window of each
// site and the replies decide the rest.
func providers() []Limit {
	return []Limit{
		{Match: "*.google.com, *.googlemail.com", Connections: 5, MessagesPerConnection: 50},
		{Match: "*.yahoodns.net", EachSite: true, MessagesPerConnection: 20},
		{Match: "*.olc.protection.outlook.com", Connections: 5, MessagesPerConnection: 50},
		{Match: "*.mail.protection.outlook.com", Connections: 5, MessagesPerConnection: 50},
		{Match: "*.mx.microsoft", Connections: 5, MessagesPerConnection: 50},
		{Match: "*.icloud.com", Connections: 10, MessagesPerConnection: 5},
		{Match: "*.comcast.net", EachSite: true, Connections: 25, MessagesPerConnection: 1000},
		{Match: "*.mimecast.com, *.mimecast.co.za, *.mimecast-offshore.com", EachSite: true, Connections: 10, MessagesPerConnection: 100},
		{Match: "*.orange.fr", Connections: 2, MessagesPerConnection: 100},
		{Match: "yahoo.co.jp", Connections: 2, MessagesPerConnection: 20, MessageRate: Rate{10, time.Second}},
		{Match: "*.gmx.net", Connections: 4, MessagesPerConnection: 20},
		{Match: "*.web.de", Connections: 4, MessagesPerConnection: 20},
		{Match: "*.barracudanetworks.com", Connections: 10, MessagesPerConnection: 15},
		{Match: "netvigator.com", Connections: 5, MessagesPerConnection: 10},
		{Match: "*.qq.com", Connections: 4, MessagesPerConnection: 8},
		{Match: "163.com", Connections: 4, MessagesPerConnection: 7},
	}
}
