package mailbox

// suspects are the messages that may have broken a connection. They are fetched alone, so that the one that did it is
// found; one that does it too often is given up, so that those behind it come through.
type suspects struct {
	validity uint32
	strikes  map[uint32]strikes // by UID; one that is here is fetched alone
	streak   int                // given up in a row, with nothing got between
}

// strikes are a message's failures.
type strikes struct{ begun, all int } // within its answer; of any kind

// under forgets what was known of messages under another UIDVALIDITY.
func (s *suspects) under(validity uint32) {
	if s.validity != validity || s.strikes == nil {
		*s = suspects{validity: validity, strikes: map[uint32]strikes{}}
	}
}

// next is how many of the items make the next batch: one suspect alone, or as many others as a batch may hold.
func (s *suspects) next(items []item) int {
	var bytes int64
	for n := range items {
		it := &items[n]
		_, suspect := s.strikes[it.uid]
		if suspect && n == 0 {
			return 1
		}
		if suspect || n == maxBatch || n > 0 && bytes+it.weight() > maxBatchBytes {
			return n
		}
		bytes += it.weight()
	}
	return len(items)
}

func (s *suspects) suspect(items []item) {
	for _, it := range items {
		if _, known := s.strikes[it.uid]; !known {
			s.strikes[it.uid] = strikes{}
		}
	}
}

// strike counts a failure that is this message's, and reports whether it is the one too many: the second within its answer,
// or the fifth of any kind, since a server that is restarted breaks off before anything of the message has come, and that
// says little of the message. It takes more when several have been given up in a row: the trouble is then probably not
// theirs but the server's.
func (s *suspects) strike(uid uint32, begun bool) (givenUp bool) {
	n := s.strikes[uid]
	n.all++
	if begun {
		n.begun++
	}
	s.strikes[uid] = n
	enoughBegun, enough := 2, 5
	if s.streak >= 3 {
		enoughBegun, enough = max(enoughBegun, 2*s.streak), max(enough, 2*s.streak)
	}
	if n.begun < enoughBegun && n.all < enough {
		return false
	}
	delete(s.strikes, uid)
	s.streak++
	return true
}

// clear takes a message that was got off the list.
func (s *suspects) clear(uid uint32) {
	delete(s.strikes, uid)
	s.streak = 0
}
