package redisstore_test

import (
	"context"
	"log"
	"net/http"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/handover"
	"github.com/sessfs/sessions/redisstore"
)

func Example() {
	if err := serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// For a switch without a logout, both stores are one.
func Example_handover() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
	if err := serveBoth(context.Background(), client); err != nil {
		log.Fatal(err)
	}
}

func serveBoth(ctx context.Context, client *redis.Client) error {
	to, err := redisstore.New(ctx, client, redisstore.Options{})
	if err != nil {
		return err
	}
	from, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: "/srv/app/sessions"})
	if err != nil {
		return err
	}
	store, err := handover.New(to, from)
	if err != nil {
		return err
	}
	_, err = sessions.NewCookies(store, sessions.CookieOptions{}) // and so on, as in serve
	return err
}

// With dozens of requests at once, their commands go together.
func Example_pipelining() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	if _, err := pipelining(context.Background(), client); err != nil {
		log.Fatal(err)
	}
}

func pipelining(ctx context.Context, client *redis.Client) (*redisstore.Store, error) {
	auto, err := client.AsyncAutoPipelineWithOptions(&redis.AutoPipelineOptions{
		MaxBatchSize: 16, MaxConcurrentBatches: 8, Unordered: true,
	})
	if err != nil {
		return nil, err
	}
	return redisstore.New(ctx, auto, redisstore.Options{})
}

func serve(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
	store, err := redisstore.New(ctx, client, redisstore.Options{})
	if err != nil {
		return err
	}
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		return err
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		return err
	}
	return http.ListenAndServe("localhost:8080", mw.Wrap(http.NotFoundHandler()))
}
