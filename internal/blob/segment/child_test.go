package segment

// childMain is the whole of a child process of the tests.
func childMain() bool { return false }
