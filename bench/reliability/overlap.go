package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"
)

// do sends a request, keeps the cookies that come back, and reports whether
// the answer was 200.
func (c client) do(s *site, act func(session)) bool {
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for name, value := range c.Cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	s.handler(act).ServeHTTP(w, r)
	res := w.Result()
	for _, cookie := range res.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.Cookies, cookie.Name)
		} else {
			c.Cookies[cookie.Name] = cookie.Value
		}
	}
	return res.StatusCode == http.StatusOK
}

// get asks for a number in a request of its own, without saving anything.
func (c client) get(s *site, key string) (n int) {
	c.clone().do(s, func(s session) { n = s.get(key) })
	return n
}

// login makes a client with a session that has a user.
func login(s *site) (client, error) {
	c := client{Cookies: make(map[string]string)}
	if !c.do(s, func(s session) { s.set("user", 1) }) || c.get(s, "user") != 1 {
		return c, errors.New("the login was not saved")
	}
	return c, nil
}

// opened opens a site and logs in, for one try.
func opened(l library, dir string, try func(*site, client) (outcome, error)) (outcome, error) {
	s, err := l.open(dir, secret)
	if err != nil {
		return outcome{}, err
	}
	defer s.close()
	c, err := login(s)
	if err != nil {
		return outcome{}, err
	}
	return try(s, c)
}

func tryIncrements(l library, dir string, n amounts) (outcome, error) {
	return count(l, dir, n, func(s session) error {
		value := s.get("n")
		time.Sleep(time.Millisecond)
		s.set("n", value+1)
		return nil
	})
}

func tryUpdates(l library, dir string, n amounts) (outcome, error) {
	return count(l, dir, n, func(s session) error {
		time.Sleep(time.Millisecond)
		return s.update("n")
	})
}

// count has many requests increment one number of one session. Refused
// requests are not lost.
func count(l library, dir string, n amounts, increment func(session) error) (outcome, error) {
	return opened(l, dir, func(s *site, c client) (outcome, error) {
		var acked, refused atomic.Int64
		var failed atomic.Value
		var wg sync.WaitGroup
		for range n.goroutines {
			wg.Go(func() {
				for range n.increments {
					var err error
					if ok := c.clone().do(s, func(s session) { err = increment(s) }); ok && err == nil {
						acked.Add(1)
					} else {
						refused.Add(1)
					}
					if err != nil {
						failed.Store(err)
						return
					}
				}
			})
		}
		wg.Wait()
		var missing none
		switch err, _ := failed.Load().(error); {
		case errors.As(err, &missing):
			return outcome{not: string(missing)}, nil
		case err != nil:
			return outcome{}, err
		}
		found := c.get(s, "n")
		return outcome{lost: int(acked.Load()) - found, of: int(acked.Load()), refused: int(refused.Load())}, nil
	})
}

// tryKeys has all requests of a round load the session before any one saves.
func tryKeys(l library, dir string, n amounts) (outcome, error) {
	return opened(l, dir, func(s *site, c client) (o outcome, err error) {
		for round := 1; round <= n.rounds; round++ {
			var loaded, done sync.WaitGroup
			loaded.Add(n.goroutines)
			acked := make([]bool, n.goroutines)
			for g := range n.goroutines {
				done.Go(func() {
					acked[g] = c.clone().do(s, func(s session) {
						s.get(ownKey(g))
						loaded.Done()
						loaded.Wait()
						s.set(ownKey(g), round)
					})
				})
			}
			done.Wait()
			for g, ok := range acked {
				if !ok {
					o.refused++
					continue
				}
				o.of++
				if c.get(s, ownKey(g)) != round {
					o.lost++
				}
			}
		}
		return o, nil
	})
}

func ownKey(g int) string { return fmt.Sprint("key", g) }

// tryLogouts ends a session by a logout while another request holds it. That request
// then changes and saves it.
func tryLogouts(l library, dir string, n amounts) (outcome, error) {
	return opened(l, dir, func(s *site, _ client) (o outcome, err error) {
		for range n.logouts {
			c, err := login(s)
			if err != nil {
				return o, err
			}
			loaded, loggedOut, answered := make(chan bool), make(chan bool), make(chan bool)
			go func() {
				c.clone().do(s, func(s session) {
					s.get("user")
					close(loaded)
					<-loggedOut
					s.set("seen", 1)
				})
				close(answered)
			}()
			<-loaded
			ok := c.clone().do(s, func(s session) { s.end() })
			if !ok || c.get(s, "user") != 0 {
				return o, errors.New("the logout was not saved")
			}
			close(loggedOut)
			<-answered
			o.of++
			if c.get(s, "user") != 0 {
				o.lost++
			}
		}
		return o, nil
	})
}

// tryIDs sends cookies that another installation, with another secret, has issued,
// and checks whether a value set under them is found.
func tryIDs(l library, dir string, n amounts) (outcome, error) {
	elsewhere, err := inDirOpen(l, dir)
	if err != nil {
		return outcome{}, err
	}
	defer elsewhere.close()
	return opened(l, dir, func(s *site, _ client) (o outcome, err error) {
		for range n.ids {
			c, err := login(elsewhere)
			if err != nil {
				return o, err
			}
			if !c.clone().do(s, func(s session) { s.set("planted", 1) }) {
				o.refused++
				continue
			}
			o.of++
			if c.get(s, "planted") != 0 {
				o.lost++
			}
		}
		return o, nil
	})
}
