package redisstore

import (
	"context"
	"crypto/sha1" // by which the server names scripts
	_ "embed"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

// A script runs on the server, all of it or nothing.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

var (
	//go:embed save.lua
	saveText string
	//go:embed touch.lua
	touchText string
	//go:embed reseal.lua
	resealText string

	//go:embed owner.lua
	ownerText string
	//go:embed end.lua
	endText string
	//go:embed gate.lua
	gateText string

	//go:embed mover.lua
	moverText string

	moverScript                           = newScript(moverText)
	saveScript, touchScript, resealScript = newScript(saveText), newScript(touchText), newScript(resealText)
	ownerScript, endScript, gateScript    = newScript(ownerText), newScript(endText), newScript(gateText)
)

// command returns the command that runs the script, by its hash or, for a server that does not
// have it (yet, or after a restart), by its text.
func (s script) command(ctx context.Context, byText bool, keys, args []string) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	if byText {
		all = append(all, "eval", s.text)
	} else {
		all = append(all, "evalsha", s.hash)
	}
	all = append(all, len(keys))
	for i := range keys {
		all = append(all, &keys[i]) // a pointer needs no memory of its own, as a string does here
	}
	for i := range args {
		all = append(all, &args[i])
	}
	cmd := redis.NewCmd(ctx, all...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

func isNoScript(err error) bool { return redis.HasErrorPrefix(err, "NOSCRIPT") }

// run runs a script. args gets whether an earlier run may have been carried out.
func (cl *client) run(ctx context.Context, s script, wait *wait, keys []string, args func(repeated bool) []string) (reply any, err error) {
	var cmd *redis.Cmd
	byText, again := false, false
	send := func(repeated bool) redis.Cmder {
		again = again || repeated
		cmd = s.command(ctx, byText, keys, args(again))
		return command{cmd}
	}
	if err = cl.do(ctx, wait, send); err != nil && isNoScript(err) {
		byText = true
		err = cl.do(ctx, wait, send)
	}
	if err != nil {
		return nil, err
	}
	return cmd.Val(), nil
}

// integer is run for a script that returns a number, with the same arguments each time.
func (cl *client) integer(ctx context.Context, s script, wait *wait, key string, args ...string) (int64, error) {
	reply, err := cl.run(ctx, s, wait, []string{key}, func(bool) []string { return args })
	if err != nil {
		return 0, err
	}
	n, ok := reply.(int64)
	if !ok {
		return 0, errReply
	}
	return n, nil
}
