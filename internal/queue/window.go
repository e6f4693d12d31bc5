package queue

// window is how many attempts a site gets at once. It grows while the site
// takes mail and is cut when the site shows that it is too much: Postfix's idea
// of feedback, with the reason kept for people to see.
type window struct {
	size  float64
	max   int
	met   bool   // the site has shown its limit: growth is slow from here
	cutAt moment // when it was last cut
	why   string // of the last cut
}

// firstWindow is what a site gets that nothing is known of.
const firstWindow = 5

func (w *window) init(limit int) {
	w.max = max(limit, 1)
	w.size = float64(min(firstWindow, w.max))
}

// limit sets the most there may be.
func (w *window) limit(n int) {
	w.max = max(n, 1)
	w.size = min(w.size, float64(w.max))
}

// open is how many attempts there may be now.
func (w *window) open() int { return max(int(w.size), 1) }

// plain reports whether the window is as for a site nothing is known of.
func (w *window) plain() bool { return w.cutAt == 0 }

// grow notes that mail was taken while busy attempts were under way. A window
// that is not used does not grow. The first growth doubles it in every round,
// after a cut a round adds one.
func (w *window) grow(busy int) {
	if busy < w.open() {
		return
	}
	step := 1.0
	if w.met {
		step = 1 / w.size
	}
	w.size = min(w.size+step, float64(w.max))
}

// cut halves the window. One that was cut since the attempt began is left: many
// attempts that fail together are one failure.
func (w *window) cut(began, now moment, why string) {
	if began < w.cutAt {
		return
	}
	w.size = max(w.size/2, 1)
	w.met, w.cutAt, w.why = true, now, why
}

// shut leaves a place for one attempt, with slow growth after it.
func (w *window) shut(now moment, why string) {
	w.size, w.met, w.cutAt, w.why = 1, true, now, why
}
