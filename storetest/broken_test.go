package storetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

func TestMemoryKeepsEveryRule(t *testing.T) {
	Run(t, func(t *testing.T, o Options) sessions.SessionStore {
		if o.MaxSessions > 0 {
			return nil
		}
		return NewMemory(o.IdleTimeout)
	})
}

func TestChecksHaveNamesAndRules(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range checks() {
		if c.name == "" || seen[c.name] || c.rule == "" || c.run == nil {
			t.Errorf("check %q has no name of its own, no rule or nothing to run", c.name)
		}
		seen[c.name] = true
	}
}

// A broken store is Memory with one method replaced. Each must be found by the
// check that is meant for it, by name.
func TestBrokenStoresAreFound(t *testing.T) {
	for _, test := range []struct {
		what  string
		check string
		make  func(m *Memory) sessions.SessionStore
	}{
		{"loses updates", "NoConcurrentSaveIsLost", func(m *Memory) sessions.SessionStore { return overwriting{m} }},
		{"loses the other request's value", "DifferentValuesAreBothKept", func(m *Memory) sessions.SessionStore { return overwriting{m} }},
		{"loses nested changes of others", "NestedChangeIsCarriedAlone", func(m *Memory) sessions.SessionStore { return overwriting{m} }},
		{"revives after logout", "LogoutIsFinal", func(m *Memory) sessions.SessionStore { return reviving{m} }},
		{"revives after delete", "DeleteIsFinal", func(m *Memory) sessions.SessionStore { return reviving{m} }},
		{"revives under load", "LogoutDuringSlowRequests", func(m *Memory) sessions.SessionStore { return reviving{m} }},
		{"keeps the old ID at a renewal", "RenewalIsFinal", func(m *Memory) sessions.SessionStore { return keepingOldID{m} }},
		{"adopts IDs", "UnknownIDIsNotAdopted", func(m *Memory) sessions.SessionStore { return adopting{m} }},
		{"takes any ID", "InvalidIDIsANewSession", func(m *Memory) sessions.SessionStore { return adopting{m} }},
		{"makes short IDs", "KeysAreValidAndUnique", func(m *Memory) sessions.SessionStore { return shortKeys{m} }},
		{"allows a line break at an ID's end", "KeysAreValidAndUnique", func(m *Memory) sessions.SessionStore { return trimming{m} }},
		{"lists temporary files", "ListReturnsTheStoredSessions", func(m *Memory) sessions.SessionStore { return leaking{m} }},
		{"forgets expiry", "IdleSessionExpires", func(m *Memory) sessions.SessionStore { m.Base = newBase(m, 0); return m }},
		{"forgets a session's own timeout", "OwnTimeoutTakesTheStoresPlace", func(m *Memory) sessions.SessionStore { return ownAgeless{m} }},
		{"does not count a save as use", "SaveBeginsTheIdleTimeAnew", func(m *Memory) sessions.SessionStore { return unused{m} }},
		{"revives what has expired", "ExpiryIsFinal", func(m *Memory) sessions.SessionStore { return reviving{m} }},
		{"revives by an update", "ExpiryIsFinal", func(m *Memory) sessions.SessionStore { return racing{m} }},
		{"revives by a touch", "ExpiryIsFinal", func(m *Memory) sessions.SessionStore { return untouching{m} }},
		{"takes a failure for a miss", "FailureIsNoMiss", func(m *Memory) sessions.SessionStore { return missing{m} }},
		{"ignores its context", "EndedContextIsObeyed", func(m *Memory) sessions.SessionStore { return timeless{m} }},
		{"lists an ID with its error", "ListEndsWithTheContext", listing(func(err error) (string, error, bool) { return "tmp-1", err, true })},
		{"swallows the end of its context", "ListEndsWithTheContext", listing(func(error) (string, error, bool) { return "", nil, false })},
		{"lists IDs after an end", "ListEndsWithTheContext", listing(func(error) (string, error, bool) { return "tmp-1", nil, true })},
		{"lists without its context", "ListEndsWithTheContext", func(m *Memory) sessions.SessionStore { return unending{m} }},
		{"lists an owner's sessions without its context", "ListOwnerEndsWithTheContext", func(m *Memory) sessions.SessionStore { return unending{m} }},
		{"lists nothing when it fails", "FailureIsNoMiss", listing(func(error) (string, error, bool) { return "", nil, false })},
		{"stores at New", "NewStoresNothing", func(m *Memory) sessions.SessionStore { return eager{m} }},
		{"always saves", "SaveIfModified", func(m *Memory) sessions.SessionStore { return saving{m} }},
		{"never deletes", "DeleteEndsOneSession", func(m *Memory) sessions.SessionStore { return undeleting{m} }},
		{"replaces a taken ID", "TakenIDIsRefused", func(m *Memory) sessions.SessionStore { return overwriting{m} }},
		{"updates without a lock", "UpdateCounts", func(m *Memory) sessions.SessionStore { return racing{m} }},
		{"saves a failed update", "FailedUpdateChangesNothing", func(m *Memory) sessions.SessionStore { return racing{m} }},
		{"locks before it asks the session", "UpdateRefusesOtherSaves", func(m *Memory) sessions.SessionStore { return lockingFirst{m} }},
		{"updates the session itself", "FailedUpdateKeepsWhatOthersDid", func(m *Memory) sessions.SessionStore { return restoring{m} }},
		{"waits to touch", "TouchDoesNotWait", func(m *Memory) sessions.SessionStore { return waiting{m} }},
		{"touches nothing", "TouchBeginsTheIdleTimeAnew", func(m *Memory) sessions.SessionStore { return untouching{m} }},
		{"deletes everybody's sessions", "SessionsByOwner", func(m *Memory) sessions.SessionStore { return greedy{m} }},
		{"misses a session in the list", "SessionsByOwner", func(m *Memory) sessions.SessionStore { return missingOne{m} }},
		{"keeps by the ID", "SessionsByOwner", func(m *Memory) sessions.SessionStore { return keepingByID{m} }},
		{"lists IDs", "ListOwnerDescribes", func(m *Memory) sessions.SessionStore { return showing{m, false} }},
		{"lists IDs beside the public ones", "ListOwnerDescribes", func(m *Memory) sessions.SessionStore { return showing{m, true} }},
		{"ends another owner's session", "DeleteOneEndsOne", func(m *Memory) sessions.SessionStore { return indiscriminate{m} }},
		{"knows no limit", "OwnerHasNoMoreThanMaxSessions", func(m *Memory) sessions.SessionStore { return m }},
		{"loses an entry of its index", "LoginsAtOnceAreAllListed", func(m *Memory) sessions.SessionStore { return &careless{Memory: m} }},
		{"forgets when an end was", "LoginFromBeforeTheEndIsRefused", func(m *Memory) sessions.SessionStore { return unmarked{m} }},
		{"ends what a list had", "EndIsNotOutrun", func(m *Memory) sessions.SessionStore { return outrun{m} }},
		{"deletes not quite all", "DeleteAllEndsAll", func(m *Memory) sessions.SessionStore { return lazy{m} }},
		{"shows half a save", "ReadersNeverSeeHalfASave", func(m *Memory) sessions.SessionStore { return &halving{Memory: m} }},
		{"forgets the login", "LoginLifetimePersistenceAndMetaComeBack", forgetting(func(rec *sessions.Record) { rec.AuthenticatedAt = time.Time{} })},
		{"forgets the lifetime", "LoginLifetimePersistenceAndMetaComeBack", forgetting(func(rec *sessions.Record) { rec.Lifetime = 0 })},
		{"forgets the persistence", "LoginLifetimePersistenceAndMetaComeBack", forgetting(func(rec *sessions.Record) { rec.Persistence = 0 })},
		{"forgets Meta", "LoginLifetimePersistenceAndMetaComeBack", forgetting(func(rec *sessions.Record) { rec.Meta = "" })},
		{"never ends by a lifetime", "OwnLifetimeEndsASession", forgetting(func(rec *sessions.Record) { rec.Lifetime = 0 })},
		{"loses the other request's owner", "DifferentAttributesAreBothKept", func(m *Memory) sessions.SessionStore { return overwriting{m} }},
		{"keeps the old ID at a login", "LoginIsARenewal", func(m *Memory) sessions.SessionStore { return keepingOldID{m} }},
		{"refuses a login after a logout", "LoginAfterTheEndBeginsAnew", func(m *Memory) sessions.SessionStore { return refusing{m} }},
		{"refuses a login after expiry", "LoginAfterExpiryBeginsAnew", func(m *Memory) sessions.SessionStore { return refusing{m} }},
		{"hands values on to another owner", "LoginOfAnotherOwnerBeginsAnew", func(m *Memory) sessions.SessionStore { return handingOn{m} }},
		{"forgets the owner", "CreatedTimeoutAndOwnerComeBack", func(m *Memory) sessions.SessionStore { return ownerless{m} }},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			for _, c := range checks() {
				if c.name != test.check {
					continue
				}
				err := c.run(t.Context(), test.make(NewMemory(c.options.IdleTimeout)))
				if err == nil || errors.As(err, new(unsupported)) {
					t.Errorf("%s did not find it (%v)", c.name, err)
				}
				return
			}
			t.Errorf("there is no check %s", test.check)
		})
	}
}

func TestCapabilitiesThatAreMissingAreSkippedByName(t *testing.T) {
	for _, c := range capabilityChecks {
		// The interface alone, without Memory's further abilities.
		bare := struct{ sessions.SessionStore }{NewMemory(0)}
		err := c.run(t.Context(), bare)
		var l unsupported
		if !errors.As(err, &l) || !strings.HasPrefix(l.Error(), "the store is no ") {
			t.Errorf("%s on a store without capabilities: %v", c.name, err)
		}
	}
}

// overwriting saves the session's values, and looks at nothing.
type overwriting struct{ *Memory }

func (b overwriting) Save(ctx context.Context, s *sessions.Session) error {
	rec := record(s)
	b.mu.Lock()
	b.kept[s.ID()] = rec
	b.mu.Unlock()
	return nil
}

// record returns the record of a session, as a store without merging would have it.
func record(s *sessions.Session) (rec sessions.Record) {
	m := NewMemory(0)
	copied := m.New()
	copied.SetAll(s.All())
	copied.SetOwner(s.Owner())
	copied.SetIdleTimeout(s.IdleTimeout())
	need(m.Save(context.Background(), copied), "save of a copy")
	return m.kept[copied.ID()]
}

// reviving stores ended sessions again.
type reviving struct{ *Memory }

func (b reviving) Save(ctx context.Context, s *sessions.Session) error {
	err := b.Memory.Save(ctx, s)
	if errors.Is(err, sessions.ErrDeleted) {
		return overwriting(b).Save(ctx, s)
	}
	return err
}

type keepingOldID struct{ *Memory }

func (b keepingOldID) Save(ctx context.Context, s *sessions.Session) error {
	b.mu.Lock()
	old, ok := b.kept[s.ID()]
	id := s.ID()
	b.mu.Unlock()
	err := b.Memory.Save(ctx, s)
	if ok && s.ID() != id {
		b.mu.Lock()
		b.kept[id] = old
		b.mu.Unlock()
	}
	return err
}

type adopting struct{ *Memory }

func (b adopting) Get(ctx context.Context, id string) (*sessions.Session, error) {
	if s, err := b.Memory.Get(ctx, id); err != nil || !s.New() {
		return s, err
	}
	return b.Load(id, id, sessions.Record{Codec: "json", Used: time.Now(), Fields: []sessions.Field{}})
}

type shortKeys struct{ *Memory }

func (b shortKeys) GenerateKey() string        { return b.Memory.GenerateKey()[:8] }
func (b shortKeys) IsValidKey(key string) bool { return len(key) == 8 }

type trimming struct{ *Memory }

func (b trimming) IsValidKey(key string) bool { return b.Memory.IsValidKey(strings.TrimSpace(key)) }

type leaking struct{ *Memory }

func (b leaking) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if yield("tmp-1", nil) {
			b.Memory.List(ctx)(yield)
		}
	}
}

// listing replaces an error of List.
func listing(instead func(error) (string, error, bool)) func(*Memory) sessions.SessionStore {
	return func(m *Memory) sessions.SessionStore { return mislisting{m, instead} }
}

type mislisting struct {
	*Memory
	instead func(error) (string, error, bool)
}

func (b mislisting) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for id, err := range b.Memory.List(ctx) {
			ok := true
			if err != nil {
				id, err, ok = b.instead(err)
			}
			if ok && !yield(id, err) {
				return
			}
		}
	}
}

type unending struct{ *Memory }

func (b unending) List(context.Context) iter.Seq2[string, error] {
	return b.Memory.List(context.Background())
}

func (b unending) ListOwner(_ context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return b.Memory.ListOwner(context.Background(), owner)
}

type ownAgeless struct{ *Memory }

func (b ownAgeless) Get(ctx context.Context, id string) (*sessions.Session, error) {
	b.mu.Lock()
	rec := b.kept[id]
	rec.IdleTimeout = 0
	b.kept[id] = rec
	b.mu.Unlock()
	return b.Memory.Get(ctx, id)
}

type unused struct{ *Memory }

func (b unused) Save(ctx context.Context, s *sessions.Session) error {
	b.mu.Lock()
	used := b.kept[s.ID()].Used
	b.mu.Unlock()
	err := b.Memory.Save(ctx, s)
	if rec := b.kept[s.ID()]; !used.IsZero() && err == nil {
		rec.Used = used
		b.kept[s.ID()] = rec
	}
	return err
}

type missing struct{ *Memory }

func (b missing) Get(ctx context.Context, id string) (*sessions.Session, error) {
	if s, err := b.Memory.Get(ctx, id); err == nil {
		return s, nil
	}
	return b.New(), nil
}

type timeless struct{ *Memory }

func (b timeless) Save(_ context.Context, s *sessions.Session) error {
	return b.Memory.Save(context.Background(), s)
}

type eager struct{ *Memory }

func (b eager) New() *sessions.Session {
	s := b.Memory.New()
	b.Memory.Save(context.Background(), s)
	return s
}

type saving struct{ *Memory }

func (b saving) SaveIfModified(ctx context.Context, s *sessions.Session) error { return b.Save(ctx, s) }

type undeleting struct{ *Memory }

func (b undeleting) Delete(context.Context, *sessions.Session) error { return nil }

// racing does not lock between reading and writing, and saves also when update fails.
type racing struct{ *Memory }

func (b racing) Update(ctx context.Context, s *sessions.Session, update func(*sessions.Session) error) error {
	fresh, err := b.Get(ctx, s.ID())
	if err != nil {
		return err
	}
	err = update(fresh)
	time.Sleep(time.Microsecond)
	return errors.Join(err, overwriting(b).Save(ctx, fresh))
}

// lockingFirst takes its own lock before the session's turn.
type lockingFirst struct{ *Memory }

func (b lockingFirst) Save(ctx context.Context, s *sessions.Session) error {
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.mu.Unlock()
	return b.CommitTo(ctx, s, func(_ context.Context, c *sessions.Change) error { return b.commit(c) })
}

// restoring takes back everything after a failed update.
type restoring struct{ *Memory }

func (b restoring) Update(ctx context.Context, s *sessions.Session, update func(*sessions.Session) error) error {
	was := s.Clone()
	err := b.Memory.Update(ctx, s, update)
	if err != nil {
		s.Clear()
		s.SetAll(was.All())
	}
	return err
}

// waiting has Touch wait for its lock.
type waiting struct{ *Memory }

func (b waiting) Touch(ctx context.Context, s *sessions.Session, interval time.Duration) (bool, error) {
	if err := b.lock(ctx); err != nil {
		return false, err
	}
	b.mu.Unlock()
	return b.Memory.Touch(ctx, s, interval)
}

type untouching struct{ *Memory }

func (b untouching) Touch(context.Context, *sessions.Session, time.Duration) (bool, error) {
	return true, nil
}

type greedy struct{ *Memory }

func (b greedy) DeleteOwner(ctx context.Context, _ string, _ ...string) (int, error) {
	return b.DeleteAll(ctx)
}

// careless has an index that two logins at once overwrite.
type careless struct {
	*Memory
	index atomic.Pointer[[]string] // public IDs
}

func (b *careless) Save(ctx context.Context, s *sessions.Session) error {
	var index []string
	if was := b.index.Load(); was != nil {
		index = slices.Clone(*was)
	}
	time.Sleep(time.Millisecond)
	err := b.Memory.Save(ctx, s)
	index = append(index, s.PublicID())
	b.index.Store(&index)
	return err
}

func (b *careless) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		for info, err := range b.Memory.ListOwner(ctx, owner) {
			if slices.Contains(*b.index.Load(), info.PublicID) && !yield(info, err) {
				return
			}
		}
	}
}

// unmarked ends the sessions that are stored, and leaves no mark.
type unmarked struct{ *Memory }

func (b unmarked) DeleteOwner(_ context.Context, owner string, keep ...string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deleteOwned(owner, func(publicID string) bool { return !slices.Contains(keep, publicID) }), nil
}

// outrun lists, and then ends one session after the other.
type outrun struct{ *Memory }

func (b outrun) DeleteOwner(ctx context.Context, owner string, keep ...string) (n int, err error) {
	for info, err := range b.ListOwner(ctx, owner) {
		if err != nil {
			return n, err
		}
		time.Sleep(time.Millisecond)
		if ended, _ := b.DeleteOne(ctx, owner, info.PublicID); ended && !slices.Contains(keep, info.PublicID) {
			n++
		}
	}
	return n, nil
}

// missingOne lists an owner's sessions but for one.
type missingOne struct{ *Memory }

func (b missingOne) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		n := 0
		for info, err := range b.Memory.ListOwner(ctx, owner) {
			if n++; n > 1 && !yield(info, err) {
				return
			}
		}
	}
}

// keepingByID mistakes the public IDs to keep for IDs.
type keepingByID struct{ *Memory }

func (b keepingByID) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	var ids []string
	for _, id := range keep {
		ids = append(ids, sessions.PublicID(id))
	}
	return b.Memory.DeleteOwner(ctx, owner, ids...)
}

// showing puts IDs into the list.
type showing struct {
	*Memory
	beside bool
}

func (b showing) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		for info := range b.Memory.ListOwner(ctx, owner) {
			for id := range b.List(ctx) {
				if sessions.PublicID(id) != info.PublicID {
					continue
				}
				if b.beside {
					info.Meta += id
				} else {
					info.PublicID = id
				}
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// indiscriminate ends the session of a public ID, of any owner.
type indiscriminate struct{ *Memory }

func (b indiscriminate) DeleteOne(_ context.Context, _, publicID string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.kept {
		if sessions.PublicID(id) == publicID {
			delete(b.kept, id)
			return true, nil
		}
	}
	return false, nil
}

type lazy struct{ *Memory }

func (b lazy) DeleteAll(ctx context.Context) (n int, err error) {
	for id := range b.List(ctx) {
		if n++; n == 10 {
			break
		}
		b.mu.Lock()
		delete(b.kept, id)
		b.mu.Unlock()
	}
	return 10, nil
}

// halving stores a save in two halves.
type halving struct{ *Memory }

func (b *halving) Save(ctx context.Context, s *sessions.Session) error {
	b.mu.Lock()
	_, stored := b.kept[s.ID()]
	b.mu.Unlock()
	if first, ok := s.Lookup("first"); ok && stored {
		half := record(s)
		half.Data = strings.Replace(half.Data, first.(string), "z", 1)
		b.mu.Lock()
		b.kept[s.ID()] = half
		b.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	return overwriting{b.Memory}.Save(ctx, s)
}

// forgetting saves less of a record.
func forgetting(forget func(*sessions.Record)) func(*Memory) sessions.SessionStore {
	return func(m *Memory) sessions.SessionStore { return forgetful{m, forget} }
}

type forgetful struct {
	*Memory
	forget func(*sessions.Record)
}

func (b forgetful) Save(ctx context.Context, s *sessions.Session) error {
	err := b.Memory.Save(ctx, s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if rec, ok := b.kept[s.ID()]; ok {
		b.forget(&rec)
		b.kept[s.ID()] = rec
	}
	return err
}

// refusing saves nothing over an ended session.
type refusing struct{ *Memory }

func (b refusing) Save(ctx context.Context, s *sessions.Session) error {
	b.mu.Lock()
	ended := !s.New() && b.find(s.ID()) == nil
	b.mu.Unlock()
	if ended {
		return sessions.ErrDeleted
	}
	return b.Memory.Save(ctx, s)
}

// handingOn keeps the values when the ID changes.
type handingOn struct{ *Memory }

func (b handingOn) Save(ctx context.Context, s *sessions.Session) error {
	b.mu.Lock()
	id := s.ID()
	old, stored := b.kept[id]
	b.mu.Unlock()
	err := b.Memory.Save(ctx, s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if rec, ok := b.kept[s.ID()]; ok && stored && s.ID() != id {
		rec.Data = old.Data
		b.kept[s.ID()] = rec
	}
	return err
}

type ownerless struct{ *Memory }

func (b ownerless) Save(ctx context.Context, s *sessions.Session) error {
	err := b.Memory.Save(ctx, s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if rec, ok := b.kept[s.ID()]; ok {
		rec.Owner = ""
		b.kept[s.ID()] = rec
	}
	return err
}
