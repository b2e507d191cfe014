package study

import "slices"

// Watch looks again and again for the runs of a study that other processes make.
type Watch struct {
	study *Study
	plan  func(*Study) error
}

// Look is what a [Watch] sees.
type Look struct {
	Runs    int      // that are planned so far
	Missing []string // the identities of those of them that are not there
	Round   int      // how many times runs were planned after others were there; 0 for the first ones
}

// Done is how many of the planned runs are there.
func (l Look) Done() int { return l.Runs - len(l.Missing) }

// NewWatch watches the folder of o. plan calls [Study.Do], again where what comes next
// depends on the results, as long as no run is missing. It makes no run and takes no lock.
func NewWatch(o Options, plan func(*Study) error) (*Watch, error) {
	o.ReadOnly, o.Observer, o.RunObserver = true, nil, nil
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	return &Watch{s, plan}, nil
}

// Plans is how many of some identities belong to runs that were planned.
func (w *Watch) Plans(identities []string) (count int) {
	for _, identity := range identities {
		if w.study.tasks[identity] != nil {
			count++
		}
	}
	return count
}

// Look says what is there now. It looks only for what was missing, and plans anew when
// that is complete.
func (w *Watch) Look() (Look, error) {
	s := w.study
	if len(s.missing) > 0 {
		if err := s.store.find(s.missing); err != nil {
			return Look{}, err
		}
		s.missing = slices.DeleteFunc(s.missing, (*task).has)
	}
	if len(s.missing) == 0 {
		s.rounds = 0
		if err := w.plan(s); err != nil {
			return Look{}, err
		}
	}
	l := Look{Runs: s.runs, Round: s.rounds - 1}
	for _, t := range s.missing {
		l.Missing = append(l.Missing, t.identity)
	}
	return l, nil
}
