package queue

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Bounds of what is in memory and at work at one time.
const (
	maxKept     = 20_000 // messages whose rows stay in memory until they are tried
	maxLookups  = 32
	maxReports  = 8
	maxResults  = 512 // outcomes that wait to be recorded
	recordBatch = 128
)

var (
	// ErrNotFound is the answer for an entry that is not in the queue.
	ErrNotFound = errors.New("queue: no such entry")
	errBody     = errors.New("queue: a message needs an envelope with an ID, a body and recipients")
)

// Queue is the outbound queue. Safe for concurrent use.
type Queue struct {
	opt            Options
	perSite, total int
	seed           maphash.Seed

	// order is held for reading over a transaction that records outcomes and the
	// change of memory after it, for writing over those of operators, so that
	// memory changes in the order of the store.
	order sync.RWMutex

	mu        sync.Mutex
	phase     phase
	early     []*Message // came while loading
	messages  map[id.Packed]*message
	dests     map[string]*dest
	domains   map[string]string // spellings of domains, canonical
	timers    timers
	alarms    alarms
	sites     map[siteKey]*site
	meters    map[string]*meter
	suspended map[string]*Suspension // by the ends of their keys
	turns     turns
	crowd     []*ready // those that would have another lane if there were more
	lanes     int
	asking    []*lookup // not begun
	resolves  int
	kept      int
	depth     [4]int // entries by state
	holds     map[id.Account]Holds
	paused    bool // the store does not take outcomes

	loading sync.Mutex
	earlier chan struct{}
	results chan *result
	reports chan struct{}   // turns
	soft    context.Context // ends when no more attempts begin
	stop    context.CancelFunc
	hard    context.Context // ends when in-flight work must end
	cancel  context.CancelFunc
	work    sync.WaitGroup // lanes and lookups
	own     sync.WaitGroup // recorder, timer
	filing  sync.WaitGroup // reports
}

// phase of the queue's life.
type phase int

const (
	phaseNew phase = iota
	phaseLoading
	phaseLoaded
	phaseRunning
	phaseStopped
)

// New makes a queue. It does nothing before Start, except for operators.
func New(opt Options) *Queue {
	opt.setDefaults()
	q := &Queue{
		opt:       opt,
		seed:      maphash.MakeSeed(),
		messages:  make(map[id.Packed]*message),
		dests:     make(map[string]*dest),
		domains:   make(map[string]string),
		sites:     make(map[siteKey]*site),
		meters:    make(map[string]*meter),
		suspended: make(map[string]*Suspension),
		holds:     make(map[id.Account]Holds),
		earlier:   make(chan struct{}, 1),
		results:   make(chan *result, maxResults),
		reports:   make(chan struct{}, maxReports),
	}
	if opt.Courier != nil {
		q.perSite, q.total = opt.Courier.Limits()
	}
	q.hard, q.cancel = context.WithCancel(context.Background())
	q.soft, q.stop = context.WithCancel(q.hard)
	return q
}

// SetReporter sets the Reporter; only before Start.
func (q *Queue) SetReporter(r Reporter) { q.opt.Reporter = r }

// Start reads the store and begins to send. ctx bounds the reading only.
func (q *Queue) Start(ctx context.Context) error {
	if q.opt.Courier == nil {
		return errors.New("queue: no courier")
	}
	if err := q.load(ctx); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if err := q.finishDrops(ctx); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase != phaseLoaded {
		return errors.New("queue: started twice")
	}
	q.phase = phaseRunning
	q.own.Go(q.recorder)
	q.own.Go(q.timekeeper)
	q.kick()
	q.observe()
	return nil
}

// Close stops new attempts, and those that have no connection yet, and waits for
// the others. When ctx ends first they are cut off: whatever the remote had not confirmed is tried again after
// the next start. What is done is recorded in any case, if the store lets us.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	was := q.phase
	q.phase = phaseStopped
	q.mu.Unlock()
	if was == phaseStopped {
		return nil
	}
	q.stop()
	stop := context.AfterFunc(ctx, q.cancel)
	defer stop()
	q.work.Wait()
	close(q.results)
	q.own.Wait()
	q.filing.Wait()
	q.cancel()
	return ctx.Err()
}

// running reports whether attempts may begin. Under q.mu.
func (q *Queue) running() bool { return q.phase == phaseRunning && !q.paused }

// EnqueueTx writes m's entries; see Enqueuer.
func (q *Queue) EnqueueTx(tx kv.Tx, m *Message) error { return q.enqueueTx(tx, m, Ready) }

func (q *Queue) enqueueTx(tx kv.Tx, m *Message, state State) error {
	if m.Envelope == nil || !m.Envelope.ID.Valid() || m.Body.IsZero() || len(m.Rcpts) == 0 || len(m.Rcpts) > maxRcpts {
		return errBody
	}
	h := q.headOf(m)
	value, err := encodeMessage(&h, m)
	if err != nil {
		return err
	}
	if err := tx.Set(messageKey(m.Envelope.ID), value); err != nil {
		return err
	}
	for i := range m.Rcpts {
		r := q.rowOf(m, i, state)
		if len(r.rcpt.Prepend) > MaxPrepend {
			return fmt.Errorf("queue: header lines of %d bytes for one recipient", len(r.rcpt.Prepend))
		}
		if err := tx.Set(entryKey(m.Envelope.ID, uint16(i)), r.encode()); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) headOf(m *Message) head {
	created := m.Envelope.Received
	if created.IsZero() {
		created = m.Envelope.ID.Time()
	}
	h := head{
		from: m.Envelope.From, body: m.Body, size: m.Size, created: created,
		stream: m.Envelope.Stream, priority: m.Envelope.Priority,
	}
	q.setTimes(&h, m.Envelope)
	return h
}

func (q *Queue) rowOf(m *Message, i int, state State) *row {
	r := &row{rcpt: m.Rcpts[i], state: state, next: m.Envelope.Received}
	if until := m.Envelope.HoldUntil; until.After(r.next) {
		if r.next = until; state == Ready {
			r.state = Waiting
		}
	}
	return r
}

// Enqueued puts m on the schedule; see Enqueuer.
func (q *Queue) Enqueued(m *Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch q.phase {
	case phaseNew, phaseStopped:
		// The scan at the next start finds it.
	case phaseLoading:
		q.early = append(q.early, m)
	default:
		q.enqueued(m)
		q.observe()
	}
}

// enqueued is Enqueued under q.mu.
func (q *Queue) enqueued(m *Message) {
	h := q.headOf(m)
	msg, ok := q.messageOf(m.Envelope.ID, &h)
	if !ok {
		return // EnqueueTx did not take it
	}
	f := &fresh{m: msg, numbers: make([]uint16, len(m.Rcpts)), rows: make([]*row, len(m.Rcpts))}
	for i := range m.Rcpts {
		f.numbers[i], f.rows[i] = uint16(i), q.rowOf(m, i, Ready)
	}
	if q.kept < maxKept {
		msg.full = m
		q.kept++
	}
	q.add(f)
	q.pump()
}

// observe tells the observer how deep the queue is. Under q.mu.
func (q *Queue) observe() {
	if q.opt.Observer != nil {
		q.opt.Observer.Depth(q.depth[sReady], q.depth[sWaiting], q.depth[sHeld])
	}
}
