package executor

// ring is a queue of tasks that grows as it has to. Its zero value is empty.
type ring struct {
	tasks []Task // its length is zero or a power of two
	head  int    // of the oldest task
	count int
}

const (
	ringMin = 16
	// ringKept is the largest length that an empty ring keeps.
	ringKept = 1024
)

func (r *ring) push(t Task) {
	if r.count == len(r.tasks) {
		grown := make([]Task, max(2*len(r.tasks), ringMin))
		n := copy(grown, r.tasks[r.head:])
		copy(grown[n:], r.tasks[:r.head])
		r.tasks, r.head = grown, 0
	}
	r.tasks[(r.head+r.count)&(len(r.tasks)-1)] = t
	r.count++
}

// pop takes the oldest task, which there must be.
func (r *ring) pop() Task {
	t := r.tasks[r.head]
	r.tasks[r.head] = Task{} // what it holds is garbage once it has run
	r.head = (r.head + 1) & (len(r.tasks) - 1)
	r.count--
	if r.count == 0 && len(r.tasks) > ringKept {
		*r = ring{}
	}
	return t
}
