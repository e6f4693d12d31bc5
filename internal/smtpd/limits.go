package smtpd

import (
	"strconv"
	"strings"
)

// limitsExtension is LIMITS (RFC 9422): what this session is bound by.
func limitsExtension() extension {
	return extension{
		keyword: "LIMITS",
		offered: func(s *session) (string, bool) {
			limits := s.cfg.Limits
			var params []string
			add := func(name string, n int) {
				if n > 0 && n <= 999_999 { // six digits (section 4)
					params = append(params, name+"="+strconv.Itoa(n))
				}
			}
			if !s.trusted {
				add("MAILMAX", limits.Messages)
			}
			add("RCPTMAX", limits.Recipients)
			return strings.Join(params, " "), len(params) > 0
		},
	}
}
