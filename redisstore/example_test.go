package redisstore_test

import (
	"context"
	"log"
	"net/http"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
)

func Example() {
	if err := serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
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
