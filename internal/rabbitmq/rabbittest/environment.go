package rabbittest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// brokerFromEnv is the broker that the tests of this process share, or nothing when they are to start one.
func brokerFromEnv() string {
	return os.Getenv("AMQP_URL") //nolint:forbidigo // A test has no configuration but its environment.
}

// inherited is what a node and its tools get from the environment of this process: all that does not speak to
// RabbitMQ or Erlang, because such settings would steer them elsewhere.
func inherited() []string {
	foreign := []string{
		"RABBITMQ_", "ERL_", "ELIXIR_", "XDG_", "HOME=", "LANG=", "LC_", "NOTIFY_SOCKET=", "RUNNING_UNDER_SYSTEMD=",
	}
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { //nolint:forbidigo // It is passed on, not read.
		return slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(kv, prefix) })
	})
}

// errNoServer says what to do about a machine without RabbitMQ.
var errNoServer = errors.New("RabbitMQ is not installed: run `make deps` or `apt-get install rabbitmq-server`, " +
	"or set RABBITMQ_SERVER to the path of its script sbin/rabbitmq-server")

// findServer finds upstream's rabbitmq-server script; RABBITMQ_SERVER overrides. The script of that name that
// distributions put on the PATH is no use here: it runs the broker as another user.
func findServer() (string, error) {
	if path := os.Getenv("RABBITMQ_SERVER"); path != "" { //nolint:forbidigo // See brokerFromEnv.
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("%w (RABBITMQ_SERVER: %w)", errNoServer, err)
		}
		return filepath.Abs(found)
	}
	for _, pattern := range []string{
		"/usr/lib/rabbitmq/bin/rabbitmq-server",                        // Debian and Red Hat packages
		"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server", // the same without that link
		"/opt/rabbitmq/sbin/rabbitmq-server",                           // the container image
	} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	// An unpacked archive or a Homebrew installation, if its sbin is on the PATH.
	if path, err := exec.LookPath("rabbitmq-server"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		if err == nil && filepath.Base(filepath.Dir(path)) == "sbin" && exists(filepath.Dir(path)+"/rabbitmq-env") {
			return path, nil
		}
	}
	return "", errNoServer
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
