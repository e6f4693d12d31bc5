package segment

import "sync/atomic"

// Stats are figures for metrics.
type Stats struct {
	Segments  int   // files
	Bytes     int64 // in all segments
	DeadBytes int64 // of them known to be dead
	Kept      int   // segments that are damaged and therefore not collected
	Commits   int64 // since Open
	Fsyncs    int64 // since Open, of files and of the directory
	Moved     int64 // records that the collector copied, since Open
	Collected int64 // segments that it removed, since Open
	Damaged   int64 // bodies that were not there, or not as they were stored, when somebody read them, since Open
	Failed    bool  // a failed fsync has stopped the store
}

type counters struct {
	commits, fsyncs, moved, collected, damaged atomic.Int64
}

// Stats reads the figures.
func (s *Store) Stats() Stats {
	st := Stats{
		Commits: s.stats.commits.Load(), Fsyncs: s.stats.fsyncs.Load(),
		Moved: s.stats.moved.Load(), Collected: s.stats.collected.Load(), Damaged: s.stats.damaged.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Failed = s.failed != nil
	st.Segments = len(s.segs)
	for _, seg := range s.segs {
		st.Bytes += seg.size
		st.DeadBytes += seg.deadBytes
		if seg.keep {
			st.Kept++
		}
	}
	return st
}
