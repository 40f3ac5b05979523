package rabbittest_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestKillLeavesNoProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, rabbittest.Settings{Dir: dir})
	require.NoError(t, n.Start(within(t, patience)))
	require.Greater(t, len(processesOf(t, dir)), 1, "the broker and its epmd")
	n.Kill()
	requireNoProcess(t, dir)
	_, err := n.Ctl(t.Context(), "status")
	require.Error(t, err, "and would leave an epmd behind")
	requireNoProcess(t, dir)
}

func TestNodeDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) // this test binary
	cmd.Env = append(os.Environ(), holdNodeEnv+"="+dir) //nolint:forbidigo // Passed on.
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = stdin.Close() })

	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held <nil>\n", line)
	require.NotEmpty(t, processesOf(t, dir))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	requireNoProcess(t, dir)
}

// A node must not die with the thread that happened to run its Start.
func TestNodeOutlivesTheThreadOfItsStart(t *testing.T) {
	t.Parallel()
	n := newNode(t, rabbittest.Settings{Dir: t.TempDir()})
	ctx, started := within(t, patience), make(chan error, 1)
	thread := make(chan int, 1)
	onThreadOfItsOwn(func(id int) {
		thread <- id
		started <- n.Start(ctx)
	})
	task := fmt.Sprintf("/proc/self/task/%d", receive(t, thread))
	require.NoError(t, receive(t, started))
	require.Eventually(t, func() bool {
		_, err := os.Stat(task)
		return errors.Is(err, fs.ErrNotExist)
	}, patience, time.Millisecond, "the thread ends")
	dial(t, n.URL()).declare(t, "q")
}

// onThreadOfItsOwn calls f in a goroutine whose thread ends with it.
func onThreadOfItsOwn(f func(thread int)) {
	go func() {
		runtime.LockOSThread() // and never unlocked, which is what ends the thread
		if syscall.Gettid() == os.Getpid() {
			onThreadOfItsOwn(f) // the main thread never ends
			return
		}
		f(syscall.Gettid())
	}()
}

func TestNodeListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, rabbittest.Settings{Dir: dir, Management: true})
	require.NoError(t, n.Start(within(t, patience)))
	ports := n.Ports()
	missing := map[int]bool{
		ports.AMQP: true, ports.Management: true, ports.Prometheus: true, ports.Distribution: true, ports.EPMD: true,
	}
	for _, addr := range listeners(t, processesOf(t, dir)) {
		require.True(t, addr.Addr().Unmap().IsLoopback(), "listens on %s", addr)
		delete(missing, int(addr.Port()))
	}
	require.Empty(t, missing, "nothing listens on these ports")
}

func requireNoProcess(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(processesOf(t, dir)) == 0 }, patience, 10*time.Millisecond)
}

// processesOf finds the processes of the node in dir, which is their home: their folders in /proc.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	var found []string
	for _, process := range all {
		// A process that ends meanwhile, or is somebody else's, has no environment to read.
		env, _ := os.ReadFile(process + "/environ")
		if bytes.Contains(env, []byte("HOME="+dir+"\x00")) {
			found = append(found, process)
		}
	}
	return found
}

// listeners are the addresses that the processes accept TCP connections on.
func listeners(t *testing.T, processes []string) []netip.AddrPort {
	t.Helper()
	sockets := make(map[string]bool) // inodes
	for _, process := range processes {
		fds, err := filepath.Glob(process + "/fd/*")
		require.NoError(t, err)
		for _, fd := range fds {
			target, _ := os.Readlink(fd)
			sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	var addrs []netip.AddrPort
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const local, state, inode, listening = 1, 3, 9, "0A"
			if f[state] == listening && sockets[f[inode]] {
				addrs = append(addrs, parseKernelAddr(t, f[local]))
			}
		}
	}
	return addrs
}

// parseKernelAddr parses an address as the kernel prints it: words of four bytes, each in reverse, and a port.
func parseKernelAddr(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	var raw []byte
	var port uint16
	host, portText, _ := strings.Cut(text, ":")
	_, err := fmt.Sscanf(host+" "+portText, "%x %x", &raw, &port)
	require.NoError(t, err)
	for word := range len(raw) / 4 {
		w := raw[word*4 : word*4+4]
		w[0], w[1], w[2], w[3] = w[3], w[2], w[1], w[0]
	}
	addr, ok := netip.AddrFromSlice(raw)
	require.True(t, ok)
	return netip.AddrPortFrom(addr, port)
}
