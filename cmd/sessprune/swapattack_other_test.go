//go:build !linux

package main

// The attack needs mounts of its own.

func attacker() {}

func underSwaps() {}
