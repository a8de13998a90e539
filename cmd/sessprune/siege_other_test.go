//go:build !linux

package main

// The siege needs mounts of its own.

func attacker() {}

func besieged() {}
