//go:build unix

package main

import (
	"bytes"
	"errors"
	"time"

	peersealing "github.com/gorilla/securecookie"

	"github.com/sessfs/sessions/securecookie"
)

const nameRing, namePeerSealing = "securecookie.KeyRing", "gorilla/securecookie, bytes"

// sealing returns contenders that seal and open 1 KB in a cookie's value. The peer
// encrypts, and is spared its serialisation, as it can be.
func sealing() (seal, open []contender, err error) {
	data := bytes.Repeat([]byte("x"), 1024)
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
		Keys: []securecookie.Key{securecookie.GenerateKey()}, Audience: "bench",
	})
	if err != nil {
		return nil, nil, err
	}
	peer := peersealing.New(peerKeys[0], peerKeys[1]).SetSerializer(peersealing.NopEncoder{})
	times := securecookie.Times{Absolute: time.Now().Add(time.Hour)}
	var ourValue, peerValue string
	sealOurs := func(int, int) (err error) {
		ourValue, err = ring.SealCookie(peerCookie, data, times)
		return err
	}
	sealPeer := func(int, int) (err error) {
		peerValue, err = peer.Encode(peerCookie, data)
		return err
	}
	openOurs := func(int, int) error {
		_, _, err := ring.OpenCookie(peerCookie, ourValue)
		return err
	}
	openPeer := func(int, int) error {
		var got []byte
		return peer.Decode(peerCookie, peerValue, &got)
	}
	if err := errors.Join(sealOurs(0, 0), sealPeer(0, 0)); err != nil {
		return nil, nil, err
	}
	pair := func(ours, theirs func(int, int) error) []contender {
		return []contender{
			{name: nameRing, sessions: 1, workers: []worker{{do: ours}}},
			{name: namePeerSealing, sessions: 1, workers: []worker{{do: theirs}}},
		}
	}
	return pair(sealOurs, sealPeer), pair(openOurs, openPeer), nil
}
