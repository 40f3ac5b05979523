package outcomes

// entries holds entries in the order of their age, in blocks, so that growing
// copies none. Entry 0 is the head of the list and no task's.
type entries struct {
	blocks []*[blockLen]entry
	made   uint32 // entries handed out so far, entry 0 included
	free   uint32 // the first that was given back; 0 for none
	len    int    // tasks held
}

const blockLen = 1024

func (s *entries) init() { s.make() }

func (s *entries) at(i uint32) *entry { return &s.blocks[i/blockLen][i%blockLen] }

// oldest is the entry at the front; 0 where there is none.
func (s *entries) oldest() uint32 { return s.at(0).next }

// add returns a new entry at the back.
func (s *entries) add(k key) uint32 {
	i := s.free
	if i != 0 {
		s.free = s.at(i).next
	} else {
		i = s.make()
	}
	*s.at(i) = entry{key: k}
	s.link(i)
	s.len++
	return i
}

// renew moves an entry to the back.
func (s *entries) renew(i uint32) {
	s.unlink(i)
	s.link(i)
}

// remove gives an entry back.
func (s *entries) remove(i uint32) {
	s.unlink(i)
	*s.at(i) = entry{next: s.free}
	s.free = i
	s.len--
}

func (s *entries) make() uint32 {
	i := s.made
	if i%blockLen == 0 {
		s.blocks = append(s.blocks, new([blockLen]entry))
	}
	s.made++
	return i
}

func (s *entries) link(i uint32) {
	head, e := s.at(0), s.at(i)
	e.prev, e.next = head.prev, 0
	s.at(head.prev).next = i
	head.prev = i
}

func (s *entries) unlink(i uint32) {
	e := s.at(i)
	s.at(e.prev).next = e.next
	s.at(e.next).prev = e.prev
}
