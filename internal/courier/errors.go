package courier

import (
	"io"
	"syscall"
)

// What the system says of connections, under names that read well.
var (
	errRefused     error = syscall.ECONNREFUSED
	errReset       error = syscall.ECONNRESET
	errUnreachable error = syscall.ENETUNREACH
	errNoRoute     error = syscall.EHOSTUNREACH
	errEOF               = io.EOF
)
