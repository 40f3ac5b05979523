package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errNoDisk says that this machine does not let the suite make a file system of its own.
var errNoDisk = errors.New("no disk whose power can be cut")

const diskBytes = 512 << 20

// disk is a file system in a file. What a program wrote without fsync is not in the file until the kernel writes it
// back, so a copy of the file is what a power cut leaves behind.
//
// It leaves out what only hardware can do: a drive that confirms a flush and has not flushed.
type disk struct {
	image, mount string
}

// newDisk makes a disk and mounts it below dir.
func newDisk(ctx context.Context, dir string) (*disk, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: that needs root", errNoDisk)
	}
	d := &disk{image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	image, err := os.Create(d.image)
	if err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	err = image.Truncate(diskBytes)
	if err = errors.Join(err, image.Close()); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	if err := command(ctx, "mkfs.ext4", "-q", "-F", d.image); err != nil {
		return nil, errors.Join(lacking(err), os.Remove(d.image))
	}
	// The long commit interval keeps the kernel from writing back by itself what nobody asked it to write.
	if err := command(ctx, "mount", "-o", "loop,commit=300", d.image, d.mount); err != nil {
		return nil, errors.Join(refused(lacking(err)), os.Remove(d.image))
	}
	return d, nil
}

// lacking makes errNoDisk of the error of a tool that is not there.
func lacking(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: a tool is missing: %w", errNoDisk, err)
	}
	return err
}

// refused makes errNoDisk of the error of mount where it says that the system does not let it: 1 is permission, 32 is
// any failure of the mount itself.
func refused(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && slices.Contains([]int{1, 32}, exit.ExitCode()) {
		return fmt.Errorf("%w: the mount is refused: %w", errNoDisk, err)
	}
	return err
}

// sync writes everything back, as time does.
func (d *disk) sync(ctx context.Context) error { return command(ctx, "sync", "--file-system", d.mount) }

// cut keeps what is on the disk now, and nothing that is only in memory. Whoever writes to it has to be paused.
func (d *disk) cut(ctx context.Context) error {
	return command(ctx, "cp", "--sparse=always", d.image, d.image+".cut")
}

// restore brings back what cut has kept. Nobody may have a file of the disk open.
func (d *disk) restore(ctx context.Context) error {
	if err := d.unmount(ctx); err != nil {
		return err
	}
	return command(ctx, "mount", "-o", "loop", d.image+".cut", d.mount)
}

// fill leaves no more than so many bytes of the disk to write to.
func (d *disk) fill(ctx context.Context, leave int) error {
	out, err := exec.CommandContext(ctx, "df", "--block-size=1", "--output=avail", d.mount).Output() //nolint:gosec // See command.
	if err != nil {
		return fmt.Errorf("look at disk: %w", err)
	}
	_, figure, _ := strings.Cut(string(out), "\n") // below its heading
	free, err := strconv.Atoi(strings.TrimSpace(figure))
	if err != nil {
		return fmt.Errorf("look at disk: %w", err)
	}
	return command(ctx, "fallocate", "--length", strconv.Itoa(free-leave), d.ballast())
}

// empty undoes fill.
func (d *disk) empty() error { return removeIfThere(d.ballast()) }

func (d *disk) ballast() string { return filepath.Join(d.mount, "ballast") }

// close unmounts the disk. Its files stay with the row's logs, but for the images.
func (d *disk) close() error {
	err := d.unmount(context.Background())
	return errors.Join(err, os.Remove(d.image), removeIfThere(d.image+".cut"))
}

// unmount unmounts the disk. Helpers of a broker that was killed may be there for a moment longer than it.
func (d *disk) unmount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unmountWithin)
	defer cancel()
	return poll(ctx, 100*time.Millisecond, func() error { return command(ctx, "umount", d.mount) })
}

const unmountWithin = 15 * time.Second

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove image: %w", err)
	}
	return nil
}

// command runs a program and returns what it complains about.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // The callers above choose what runs.
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
