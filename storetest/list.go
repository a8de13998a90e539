package storetest

import (
	"context"
	"errors"
	"iter"
)

// ended returns a context that has ended.
func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// listEnds makes sure that a list of three sessions ends with its context.
func listEnds[T comparable](ctx context.Context, list func(context.Context) iter.Seq2[T, error]) {
	listError(list(ended(ctx)), context.Canceled)
	for range list(ended(ctx)) {
		break // a caller may stop at an error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, rest := true, 0
	for v, err := range list(ctx) {
		if first {
			need(err, "list")
			cancel()
			first = false
			continue
		}
		want(v == *new(T) && errors.Is(err, context.Canceled), "after the end of its context a list gave %v and the error %v", v, err)
		rest++
	}
	want(rest == 1, "after the end of its context a list gave %d errors, want the context's", rest)
}

// listError makes sure that a list is one error alone, that one unless it is nil.
func listError[T comparable](list iter.Seq2[T, error], target error) {
	n := 0
	for v, err := range list {
		want(err != nil && v == *new(T), "a list that fails gave %v and the error %v", v, err)
		want(target == nil || errors.Is(err, target), "a list ended with %v, want %v", err, target)
		n++
	}
	want(n == 1, "a list that fails gave %d errors, want one", n)
}
