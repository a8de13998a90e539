//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// imageSize is that of a file system with its defaults which has room, and inodes,
// for a million sessions. The image has holes where nothing was written.
const imageSize = 24 << 30

// mounted makes and mounts a file system, calls use with its directory, and takes
// it away again.
func mounted(ctx context.Context, images, name string, use func(dir string) error) (err error) {
	work, err := os.MkdirTemp(images, "speed")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	dir := filepath.Join(work, name)
	if err := errors.Join(os.Mkdir(dir, 0o700), mountOne(ctx, name, dir)); err != nil {
		return err
	}
	// Not under ctx, which may have ended.
	defer func() { err = errors.Join(err, command(context.Background(), "umount", "-l", dir)) }()
	return use(dir)
}

func mountOne(ctx context.Context, name, dir string) error {
	if name == "tmpfs" {
		return command(ctx, "mount", "-t", "tmpfs", "-o", "size=90%,nr_inodes=0,mode=700", "tmpfs", dir)
	}
	image := dir + ".image"
	file, err := os.Create(image)
	if err == nil {
		err = errors.Join(file.Truncate(imageSize), file.Close())
	}
	if err == nil {
		err = command(ctx, "mkfs."+name, "-q", image)
	}
	if err == nil {
		err = command(ctx, "mount", "-o", "loop", image, dir)
	}
	return err
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// startRedis starts a Redis server of its own on a Unix socket, when one is
// installed. It keeps everything in memory.
func startRedis() (socket string, stop func(), err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", func() {}, nil
	}
	dir, err := os.MkdirTemp("", "speed-redis")
	if err != nil {
		return "", nil, err
	}
	socket = filepath.Join(dir, "socket")
	server := exec.Command(path, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	if err := server.Start(); err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	stop = func() {
		server.Process.Kill()
		server.Wait()
		os.RemoveAll(dir)
	}
	return socket, stop, awaitFile(socket)
}
