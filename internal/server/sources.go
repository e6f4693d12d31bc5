package server

import (
	"net/netip"

	"posthouse/internal/config"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/queue"
	"posthouse/internal/shaping"
	"posthouse/internal/smtp"
)

// courierSources are the configured sources as the courier knows them: addresses
// and names.
func courierSources(cfg *config.Config) []courier.Source {
	var list []courier.Source
	for _, s := range cfg.Outbound.Source {
		src := courier.Source{Name: s.Name, HELO: s.Helo}
		for _, text := range s.Address {
			if a, err := netip.ParseAddr(text); err == nil { // validated
				src.Addrs = append(src.Addrs, a)
			}
		}
		list = append(list, src)
	}
	return list
}

// queueSources are the same as the queue knows them: whose mail leaves where.
func queueSources(cfg *config.Config) []queue.Source {
	var list []queue.Source
	for _, s := range cfg.Outbound.Source {
		src := queue.Source{Name: s.Name, Weight: s.Weight}
		for _, d := range s.Domains {
			src.Domains = append(src.Domains, smtp.DomainPattern(d))
		}
		for _, stream := range s.Streams {
			src.Streams = append(src.Streams, envelope.Stream(stream))
		}
		list = append(list, src)
	}
	return list
}

// outboundLimits are the configured limits and those of known providers.
func outboundLimits(cfg *config.Config) ([]shaping.Limit, error) {
	var list []shaping.Limit
	for i := range cfg.Outbound.Limit {
		list = append(list, cfg.Outbound.Limit[i].Shaping())
	}
	return shaping.Limits(list)
}
