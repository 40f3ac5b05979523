package rabbittest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// User and Password are the administrator of every node. The user guest does not exist.
const (
	User     = "twinlane"
	Password = "twinlane"
)

// Settings describe a node.
type Settings struct {
	Dir        string   // data, log and home directory of the node; made when missing, kept after Stop
	Name       string   // Erlang node name; default twinlane@localhost; the data in Dir belong to one name
	Ports      Ports    // fixed ports; those left 0 are chosen
	Management bool     // enable the management and the Prometheus plugin
	FullSize   bool     // use all cores, as a broker under load does, instead of two
	Conf       []string // additional lines of rabbitmq.conf
}

// Option changes the settings of a node.
type Option func(*Settings)

// WithManagement enables the management and the Prometheus plugin. Such a node takes some seconds to stop.
func WithManagement(s *Settings) { s.Management = true }

// WithFullSize lets the node use all cores.
func WithFullSize(s *Settings) { s.FullSize = true }

// WithConf adds lines to rabbitmq.conf.
func WithConf(lines ...string) Option {
	return func(s *Settings) { s.Conf = append(s.Conf, lines...) }
}

func (s *Settings) path(name string) string { return filepath.Join(s.Dir, name) }

// conf is the node's rabbitmq.conf.
func (s *Settings) conf() string {
	lines := []string{
		"listeners.tcp.1 = " + loopback(s.Ports.AMQP),
		"default_user = " + User,
		"default_pass = " + Password,
		"default_user_tags.administrator = true",
		"disk_free_limit.absolute = 50MB",
		// Quorum queues hold what is in the write-ahead log in memory as well; the default is half a gigabyte.
		"raft.wal_max_size_bytes = 67108864",
	}
	if s.Management {
		lines = append(lines,
			"management.tcp.ip = 127.0.0.1",
			fmt.Sprintf("management.tcp.port = %d", s.Ports.Management),
			"prometheus.tcp.ip = 127.0.0.1",
			fmt.Sprintf("prometheus.tcp.port = %d", s.Ports.Prometheus),
		)
	}
	return strings.Join(append(lines, s.Conf...), "\n") + "\n"
}

func (s *Settings) plugins() string {
	if s.Management {
		return "[rabbitmq_management,rabbitmq_prometheus].\n"
	}
	return "[].\n"
}

// write writes the configuration files of the node.
func (s *Settings) write() error {
	for name, text := range map[string]string{
		"rabbitmq.conf":     s.conf(),
		"enabled_plugins":   s.plugins(),
		"rabbitmq-env.conf": "",
	} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write node configuration: %w", err)
		}
	}
	return nil
}

// env is the environment of the node and of its command-line tools. It names every place where they would look for
// the system's broker otherwise.
func (s *Settings) env() []string {
	return append(inherited(),
		"HOME="+s.Dir, // holds the cookie
		"LANG=C.UTF-8",
		"RABBITMQ_NODENAME="+s.Name,
		"RABBITMQ_CONF_ENV_FILE="+s.path("rabbitmq-env.conf"),
		"RABBITMQ_CONFIG_FILE="+s.path("rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES="+s.path("conf.d/*.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+s.path("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+s.path("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE="+s.path("data"),
		"RABBITMQ_LOG_BASE="+s.path("log"),
		"RABBITMQ_LOGS=-",
		"ERL_CRASH_DUMP="+s.path("erl_crash.dump"),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", s.Ports.Distribution),
		fmt.Sprintf("ERL_EPMD_PORT=%d", s.Ports.EPMD),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		// No Erlang process of this node leaves an epmd daemon behind when the node's own epmd is gone.
		"ERL_FLAGS=-start_epmd false",
		"RABBITMQ_CTL_ERL_ARGS=-start_epmd false",
		// The script replaces itself by the Erlang VM, so that the child is the broker, not a shell before it.
		"RUNNING_UNDER_SYSTEMD=true",
		// The script leaves the start of the broker to the arguments; see erlArgs.
		"RABBITMQ_NODE_ONLY=true",
	)
}

// erlArgs are the arguments of the Erlang VM. They are evaluated in order.
func (s *Settings) erlArgs() []string {
	args := []string{"-kernel", "inet_dist_use_interface", "{127,0,0,1}"}
	if !s.FullSize {
		args = append(args, "+S", "2:2", "+SDcpu", "2:2", "+SDio", "2")
	}
	return append(args, "-eval", preload, "-s", "rabbit", "boot")
}

// preload loads the code of the broker before it boots. A boot looks at the attributes of every module of every
// application that the broker builds on, and so loads a thousand modules one after the other, each searched for in a
// hundred directories. The same modules loaded in one go per application take a fifth of that time and make the
// start of a node three times as fast. It is an optimisation only: a failure leaves the loading to the boot.
const preload = `
	try
		Load = fun Load(App) ->
			case application:load(App) of
				ok -> {ok, Needs} = application:get_key(App, applications), lists:foreach(Load, Needs);
				_ -> ok
			end
		end,
		Load(rabbit),
		[code:ensure_modules_loaded(Modules) ||
			{App, _, _} <- application:loaded_applications(),
			{ok, Modules} <- [application:get_key(App, modules)]]
	catch
		_:_ -> ok
	end`
